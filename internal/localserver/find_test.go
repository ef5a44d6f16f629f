//go:build unix

package localserver

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func writeProgram(t *testing.T, path, says string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+says+"\n"), 0o700))
}

func TestFindNamesEachProgramOnceAndMariaDBFirst(t *testing.T) {
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	writeProgram(t, in("mysql/mysqld"), `echo "$0  Ver 8.4.6-0ubuntu1 for Linux on x86_64 ((Ubuntu))"`)
	writeProgram(t, in("maria/mariadbd"), `echo "mariadbd  Ver 11.8.3-MariaDB-0+deb13u1 from Debian for debian-linux-gnu on x86_64 (-- Please help get to 10k stars)"`)
	writeProgram(t, in("broken/mysqld"), `echo "cannot open shared object file" >&2; exit 127`)
	writeProgram(t, in("foreign/mysqld"), `echo "something else 1.0"`)
	require.NoError(t, os.Symlink("mariadbd", in("maria/mysqld")))
	require.NoError(t, os.Symlink(in("maria"), in("link")))

	found := find([]string{
		in("none"), in("broken"), in("foreign"), in("mysql"), in("maria"), in("link"), in("mysql"), "relative", "",
	})
	assert.Equal(t, []Binary{
		{Path: in("maria/mariadbd"), Flavor: FlavorMariaDB, Version: "11.8.3"},
		{Path: in("mysql/mysqld"), Flavor: FlavorMySQL, Version: "8.4.6"},
	}, found)
}

func TestStartWithoutAnyServerProgramSaysSo(t *testing.T) {
	if len(find([]string{"/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/usr/libexec"})) > 0 {
		t.Setenv("PATH", "")
		assert.NotEmpty(t, Find(), "programs outside of PATH are found")
		return
	}
	t.Setenv("PATH", t.TempDir())
	_, err := Start(t.Context(), Options{})
	require.ErrorIs(t, err, ErrNoServer)
}
