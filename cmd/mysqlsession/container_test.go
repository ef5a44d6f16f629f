//go:build unix

package main

import (
	"bufio"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/cmd/mysqlsession/internal/webapp"
)

// containerImage is an image of MariaDB to run, where a Docker engine answers.
func containerImage(t *testing.T) string {
	t.Helper()
	if err := engineAnswers(t.Context()); err != nil {
		t.Skip("no Docker engine answers")
	}
	images := os.Getenv("MYSQLSESSION_TEST_IMAGES")
	for _, image := range strings.Fields(images) {
		if strings.Contains(image, "mariadb") {
			return image
		}
	}
	if images != "" {
		t.Skipf("no image of MariaDB among %s", images)
	}
	return "mariadb:11.4"
}

// containers lists the containers, running or not, whose name begins like this.
func containers(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("docker", "ps", "--all", "--quiet", "--filter", "name="+name).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

func TestMachineWithADockerEngineRunsTheDemonstrationInAContainer(t *testing.T) {
	t.Setenv(dsnVariable, "")
	d := bare()
	d.image, d.engine, d.logger = containerImage(t), engineAnswers, slog.New(slog.DiscardHandler)
	db, err := d.chooseDatabase(t.Context())
	require.NoError(t, err)
	defer func() { assert.NoError(t, db.stop()) }()
	t.Log(db.name)
	store, err := d.openStore(t.Context(), db)
	require.NoError(t, err)
	defer func() { assert.NoError(t, store.Close()) }()
	server := httptest.NewServer(webapp.New(store, db.name, d.logger))
	defer server.Close()
	assert.Contains(t, newBrowser(t, server.URL, laptopAgent).post("/sign-in", "name", "Ada"), "Hello, Ada")

	out, err := exec.Command("sh", "-c", db.client+" -e 'SELECT COUNT(*) FROM sessions'").CombinedOutput()
	require.NoError(t, err, string(out))
	name := strings.Fields(db.client)[4]
	require.NotEmpty(t, containers(t, name))
	require.NoError(t, store.Close())
	require.NoError(t, db.stop())
	assert.Empty(t, containers(t, name))
}

func TestContainerOfAKilledProgramIsRemoved(t *testing.T) {
	program := exec.Command(os.Args[0])
	program.Env = append(os.Environ(), containerVariable+"="+containerImage(t))
	program.Stderr = os.Stderr
	out, err := program.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, program.Start())
	defer func() { _ = program.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, program.Process.Kill())
	require.NoError(t, err)
	fields := strings.Fields(line)
	require.Greater(t, len(fields), 4, line)
	assert.Eventually(t, func() bool { return containers(t, fields[4]) == "" }, time.Minute, 100*time.Millisecond)
}

func TestImageThatCannotBeHadIsAnErrorWithTheReason(t *testing.T) {
	containerImage(t)
	d := bare()
	d.image = "mysqlsession.invalid/none:1"
	_, err := d.startContainer(t.Context())
	require.ErrorContains(t, err, d.image)
	require.ErrorContains(t, err, "before it answered")
}
