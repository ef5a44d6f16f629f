//go:build unix

package main

import (
	"bufio"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// markVariable is in the environment of a program under test and of all that it starts.
const markVariable = "MYSQLSESSION_TEST_MARK"

// program is a running copy of the program, with a temporary folder of its own.
type program struct {
	t       *testing.T
	command *exec.Cmd
	folder  string // its TMPDIR
	mark    string
	address string // of its page
	said    string // up to and with the last line of the introduction
	output  chan string
}

// startDemo runs "mysqlsession demo" until its page can be opened.
func startDemo(t *testing.T, environment ...string) *program {
	t.Helper()
	p := &program{t: t, folder: shortFolder(t), mark: rand.Text(), output: make(chan string, 1)}
	p.command = exec.Command(os.Args[0])
	p.command.Env = append(os.Environ(), programVariable+"=mysqlsession demo --listen 127.0.0.1:0",
		"GORACE=atexit_sleep_ms=0", "TMPDIR="+p.folder, markVariable+"="+p.mark, dsnVariable+"=")
	p.command.Env = append(p.command.Env, environment...)
	p.command.Stderr = os.Stderr
	// Like in a terminal, where Ctrl-C reaches the group in the foreground.
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := p.command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.command.Start())
	t.Cleanup(func() {
		_ = p.command.Process.Kill()
		_ = p.command.Wait()
	})

	lines := bufio.NewReader(out)
	for !strings.Contains(p.said, "Ctrl-C ends it") {
		line, err := lines.ReadString('\n')
		require.NoError(t, err, p.said)
		p.said += line
	}
	p.address = regexp.MustCompile(`http://\S+`).FindString(p.said)
	go func() {
		rest, _ := io.ReadAll(lines)
		p.output <- string(rest)
	}()
	return p
}

// shortFolder is a temporary folder whose path leaves room for that of a socket, which
// the test's name in T.TempDir's does not.
func shortFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "demo")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(folder)) })
	return folder
}

// serverPid is the process number of the private server.
func (p *program) serverPid() int {
	p.t.Helper()
	files, err := filepath.Glob(filepath.Join(p.folder, "mysqlsession-*", "pid"))
	require.NoError(p.t, err)
	require.Len(p.t, files, 1)
	text, err := os.ReadFile(files[0])
	require.NoError(p.t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(p.t, err)
	return pid
}

// interrupt signals the program's group, and returns its exit code, -1 for one that died
// of the signal.
func (p *program) interrupt(signal syscall.Signal) int {
	p.t.Helper()
	require.NoError(p.t, syscall.Kill(-p.command.Process.Pid, signal))
	select {
	case <-p.output:
	case <-time.After(30 * time.Second):
		require.Fail(p.t, "the program does not end after "+signal.String())
	}
	_ = p.command.Wait()
	return p.command.ProcessState.ExitCode()
}

// assertNothingLeft waits until neither a process nor a file of the program is left.
func (p *program) assertNothingLeft() {
	p.t.Helper()
	var processes []string
	assert.Eventually(p.t, func() bool {
		processes = marked(p.mark)
		return len(processes) == 0
	}, 10*time.Second, 10*time.Millisecond, "processes are left")
	assert.Empty(p.t, processes)
	entries, err := os.ReadDir(p.folder)
	require.NoError(p.t, err)
	assert.Empty(p.t, entries, "files are left")
}

// marked lists the processes whose environment has the mark. It finds them on Linux only.
func marked(mark string) []string {
	var found []string
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environments {
		environment, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(environment), markVariable+"="+mark) {
			command, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			found = append(found, strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	return found
}

// browser is a visitor with a cookie jar.
type browser struct {
	t       *testing.T
	address string
	agent   string
	client  *http.Client
}

func (p *program) browser(agent string) *browser { return newBrowser(p.t, p.address, agent) }

func newBrowser(t *testing.T, address, agent string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t: t, address: address, agent: agent, client: &http.Client{Jar: jar, Transport: transport, Timeout: 30 * time.Second}}
}

// do sends a request, follows where it leads, and returns the last status and page.
func (b *browser) do(method, target string, fields url.Values) (int, string) {
	b.t.Helper()
	request, err := http.NewRequest(method, b.address+target, strings.NewReader(fields.Encode()))
	require.NoError(b.t, err)
	request.Header.Set("User-Agent", b.agent)
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Origin", b.address)
	}
	response, err := b.client.Do(request)
	require.NoError(b.t, err)
	defer func() { _ = response.Body.Close() }()
	page, err := io.ReadAll(response.Body)
	require.NoError(b.t, err)
	return response.StatusCode, string(page)
}

func (b *browser) look() string {
	b.t.Helper()
	status, page := b.do(http.MethodGet, "/", nil)
	require.Equal(b.t, http.StatusOK, status, page)
	return page
}

func (b *browser) post(target string, fields ...string) string {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	status, page := b.do(http.MethodPost, target, form)
	require.Equal(b.t, http.StatusOK, status, page)
	return page
}

// key is the session id in the browser's cookie.
func (b *browser) key() string {
	b.t.Helper()
	address, err := url.Parse(b.address)
	require.NoError(b.t, err)
	for _, cookie := range b.client.Jar.Cookies(address) {
		return cookie.Value
	}
	return ""
}
