//go:build unix

package localserver

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// running reports whether a process is there and more than a zombie.
func running(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	_, state, _ := strings.Cut(string(status), ") ")
	return !strings.HasPrefix(state, "Z")
}

// startChild runs a copy of this test as a program, in a process group of its own.
func startChild(t *testing.T, kind string, options Options) (*exec.Cmd, report) {
	t.Helper()
	requirePrograms(t)
	encoded, err := json.Marshal(options)
	require.NoError(t, err)
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), childVariable+"="+kind+" = "+string(encoded))
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = command.Wait()
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	require.NoError(t, err)
	var said report
	require.NoError(t, json.Unmarshal(line, &said), string(line))
	return command, said
}

func assertNothingLeft(t *testing.T, said report) {
	t.Helper()
	assert.Eventually(t, func() bool { return !running(said.Pid) }, 10*time.Second, 5*time.Millisecond, "the server runs")
	assert.Eventually(t, func() bool { return !running(said.Watchdog) }, 10*time.Second, 5*time.Millisecond, "the watchdog runs")
	assert.NoDirExists(t, said.Folder)
}

func TestKilledProgramLeavesNeitherServerNorFolder(t *testing.T) {
	onEachServer(t, func(t *testing.T, binary Binary) {
		program, said := startChild(t, childServes, Options{Binary: binary})
		require.Empty(t, said.Error)
		require.True(t, running(said.Pid))
		require.DirExists(t, said.Folder)
		require.NoError(t, program.Process.Kill())
		assertNothingLeft(t, said)
	})
}

// Here the watchdog died of the broken pipe into which it said that it was watching: its
// program had been killed before.
func TestProgramKilledWhileItPreparesLeavesNothing(t *testing.T) {
	onEachServer(t, func(t *testing.T, binary Binary) {
		program, said := startChild(t, childPrepares, Options{Binary: binary, Accounts: true})
		require.Empty(t, said.Error)
		require.True(t, running(said.Pid))
		require.NoError(t, program.Process.Kill())
		assertNothingLeft(t, said)
	})
}

// A terminal sends Ctrl-C to every process of the group in the foreground.
func TestWatchdogOutlivesTheInterruptThatEndsTheProgram(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			program, said := startChild(t, childServes, Options{})
			require.Empty(t, said.Error)
			require.NoError(t, syscall.Kill(-program.Process.Pid, signal))
			assertNothingLeft(t, said)
		})
	}
}

func TestWatchdogItselfIsNotEndedBySignalsThatProgramsGet(t *testing.T) {
	program, said := startChild(t, childServes, Options{})
	require.Empty(t, said.Error)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		require.NoError(t, syscall.Kill(said.Watchdog, signal))
	}
	require.NoError(t, program.Process.Kill())
	assertNothingLeft(t, said)
}

func TestServerStopsWithoutItsWatchdog(t *testing.T) {
	s := start(t, Options{})
	require.NoError(t, s.watchdog.process.kill())
	require.NoError(t, s.Stop())
	assert.NoDirExists(t, s.Folder)
}

func TestProgramThatForgetsWatchdogIsToldSo(t *testing.T) {
	_, said := startChild(t, childForgetful, Options{})
	assert.Contains(t, said.Error, "localserver.Watchdog")
}

func TestWatchdogRemovesNoFolderButItsOwnKind(t *testing.T) {
	for _, folder := range []string{t.TempDir(), "mysqlsession-relative", ""} {
		ward := newWard(strings.NewReader("folder " + strconv.Quote(folder) + "\n"))
		assert.Empty(t, ward.folder)
	}
	own := filepath.Join(t.TempDir(), "mysqlsession-with \"quotes\"\nand lines")
	ward := newWard(strings.NewReader("folder " + strconv.Quote(own) + "\n"))
	assert.Equal(t, own, ward.folder)
}

func TestWatchdogForgetsProcessesThatHaveEnded(t *testing.T) {
	pid := strconv.Itoa(os.Getpid())
	assert.Len(t, newWard(strings.NewReader("began "+pid+"\n")).processes, 1)
	assert.Empty(t, newWard(strings.NewReader("began "+pid+"\nended "+pid+"\n")).processes)
	assert.Empty(t, newWard(strings.NewReader("began 1\nbegan -1\nbegan\n")).processes)
}
