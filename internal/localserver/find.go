package localserver

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

// The flavors of a server.
const (
	FlavorMariaDB = "mariadb"
	FlavorMySQL   = "mysql"
)

// Binary is an installed server program.
type Binary struct {
	Path    string // absolute
	Flavor  string // FlavorMariaDB or FlavorMySQL
	Version string // as in "10.11.6" or "9.7.0"
}

// Find returns the server programs installed on this machine, MariaDB, which starts
// sooner, before MySQL. It looks on PATH and in the folders that packages use for
// programs that are not meant for PATH; each program is named once, however many links
// lead to it. It runs each with --version.
func Find() []Binary {
	folders := filepath.SplitList(os.Getenv("PATH"))
	return find(append(folders,
		"/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/local/libexec",
		"/usr/bin", "/usr/local/bin", "/usr/local/mysql/bin",
		"/opt/homebrew/bin", "/opt/homebrew/opt/mariadb/bin", "/opt/homebrew/opt/mysql/bin",
		"/usr/local/opt/mariadb/bin", "/usr/local/opt/mysql/bin",
	))
}

func find(folders []string) []Binary {
	var mariadb, mysql []Binary
	seen := map[string]bool{}
	for _, folder := range folders {
		// A relative folder on PATH is not trusted, as in os/exec.
		if !filepath.IsAbs(folder) {
			continue
		}
		for _, name := range []string{"mariadbd", "mysqld"} {
			path := filepath.Join(folder, name)
			resolved, err := filepath.EvalSymlinks(path)
			if err != nil || seen[resolved] {
				continue
			}
			seen[resolved] = true
			binary, ok := identify(path)
			switch {
			case !ok:
			case binary.Flavor == FlavorMariaDB:
				mariadb = append(mariadb, binary)
			default:
				mysql = append(mysql, binary)
			}
		}
	}
	return append(mariadb, mysql...)
}

// identify asks a program for its version. It is not ok when that cannot be run, or is
// something else.
func identify(path string) (Binary, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--no-defaults", "--version").Output()
	if err != nil {
		return Binary{}, false
	}
	// "mariadbd  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)",
	// "/usr/sbin/mysqld  Ver 9.7.0 for Linux on x86_64 (MySQL Community Server - GPL)"
	match := regexp.MustCompile(`Ver (\d+\.\d+\.\d+)(-MariaDB)?`).FindStringSubmatch(string(out))
	if match == nil {
		return Binary{}, false
	}
	binary := Binary{Path: path, Flavor: FlavorMySQL, Version: match[1]}
	if match[2] != "" {
		binary.Flavor = FlavorMariaDB
	}
	return binary, true
}
