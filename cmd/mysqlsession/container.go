package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

const (
	// pullLimit is how long an image may take to come and its server to answer.
	pullLimit = 5 * time.Minute
	// removeLimit is how long the container may take to be gone.
	removeLimit = 20 * time.Second
)

// containerScript runs the image's server until the standard input ends, which it does
// when this program does, in whatever way. It needs no watchdog: it is one.
const containerScript = `docker-entrypoint.sh mariadbd & server=$!; cat >/dev/null; kill "$server"; wait "$server"`

// container is a running one.
type container struct {
	name    string
	command *exec.Cmd
	input   io.Closer
	log     *tail
	ended   chan struct{}
}

// engineAnswers is nil when there is a Docker engine.
func engineAnswers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, "docker", "info").Run()
}

// startContainer starts a server in a container, with a port on loopback.
func (p *private) startContainer(ctx context.Context) (*database, error) {
	_, _ = fmt.Fprintf(p.out, "starting a container of %s\n", p.image)
	ctx, cancel := context.WithTimeout(ctx, pullLimit)
	defer cancel()
	begin := time.Now()
	password := rand.Text()
	c, err := runContainer(p.image, password)
	if err != nil {
		return nil, fmt.Errorf("start a container: %w", err)
	}
	config, err := c.await(ctx, password)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("container of %s: %w", p.image, err), c.stop())
	}
	config.Logger = p.logger
	kind := "a container of " + p.image
	return &database{
		config: config, kind: kind,
		name:   fmt.Sprintf("%s, ready after %s", kind, time.Since(begin).Round(time.Millisecond)),
		leaves: "The container goes with it.",
		client: fmt.Sprintf("docker exec -e MYSQL_PWD=%s %s mariadb -u session session", password, c.name),
		stop:   c.stop,
	}, nil
}

func runContainer(image, password string) (*container, error) {
	c := &container{name: "mysqlsession-" + strings.ToLower(rand.Text()[:8]), log: &tail{}, ended: make(chan struct{})}
	c.command = exec.Command("docker", "run", "--interactive", "--rm", "--name", c.name,
		"--publish", "127.0.0.1::3306",
		"--env", "MARIADB_DATABASE=session", "--env", "MARIADB_USER=session",
		"--env", "MARIADB_PASSWORD", // from our environment, so that it is not on the command line
		"--env", "MARIADB_RANDOM_ROOT_PASSWORD=1",
		"--entrypoint", "sh", image, "-c", containerScript)
	c.command.Env = append(os.Environ(), "MARIADB_PASSWORD="+password)
	c.command.Stdout, c.command.Stderr = c.log, c.log
	detach(c.command)
	input, err := c.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	c.input = input
	if err := c.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(c.ended)
		_ = c.command.Wait()
	}()
	return c, nil
}

// await returns how to connect once the server lets us in. Its image runs the server
// once without a network to set it up, so only a login tells.
func (c *container) await(ctx context.Context, password string) (mysqlsession.Config, error) {
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	var last error
	for {
		select {
		case <-ctx.Done():
			return mysqlsession.Config{}, errors.Join(ctx.Err(), last)
		case <-c.ended:
			return mysqlsession.Config{}, fmt.Errorf("it ended before it answered: %s", c.log)
		case <-ticker.C:
		}
		port, err := c.port(ctx)
		if err != nil {
			continue // it is being pulled, or created
		}
		config := mysqlsession.Config{
			Host: "127.0.0.1", Port: port, Username: "session", Password: password, Database: "session",
			ConnectTimeout: answerLimit, SendTimeout: answerLimit, ReadTimeout: answerLimit,
		}
		connection, err := mysqlsession.Connect(ctx, config)
		if err == nil {
			return config, connection.Close()
		}
		last = err
	}
}

// port is the one on this machine that leads to the server.
func (c *container) port(ctx context.Context) (uint16, error) {
	out, err := exec.CommandContext(ctx, "docker", "port", c.name, "3306/tcp").Output()
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(out), "\n")
	_, text, err := net.SplitHostPort(line)
	if err != nil {
		return 0, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	return uint16(port), err
}

// stop ends the container and returns when it is removed.
func (c *container) stop() error {
	_ = c.input.Close()
	timer := time.NewTimer(removeLimit)
	defer timer.Stop()
	select {
	case <-c.ended:
		return nil
	case <-timer.C:
	}
	ctx, cancel := context.WithTimeout(context.Background(), removeLimit)
	defer cancel()
	if err := exec.CommandContext(ctx, "docker", "rm", "--force", c.name).Run(); err != nil {
		return fmt.Errorf("remove container %s: %w", c.name, err)
	}
	return nil
}

// tail keeps the end of what is written to it. It is for one writer, and for reading
// after that has ended.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	const most = 2 << 10
	t.text = append(t.text, p...)
	if len(t.text) > most {
		t.text = append(t.text[:0], t.text[len(t.text)-most:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return strings.TrimSpace(string(t.text)) }
