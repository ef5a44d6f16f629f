//go:build unix

package main

import (
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDoctorEndsAtOnceWhenItIsInterrupted(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = silent.Close() }()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0",
		programVariable+"=mysqlsession doctor --dsn mysql://"+silent.Addr().String()+"/d?connect_timeout=1h")
	require.NoError(t, command.Start())
	conn, err := silent.Accept()
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, command.Process.Signal(syscall.SIGINT))
	_ = command.Wait()
	require.Equal(t, exitInterrupted, command.ProcessState.ExitCode())
}
