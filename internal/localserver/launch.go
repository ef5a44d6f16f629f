package localserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// initialize makes the data that a server expects to find. A MariaDB without accounts
// only wants the folder of the system tables, and is happy with an empty one.
func (s *Server) initialize(ctx context.Context) error {
	if !s.accounts() {
		return os.Mkdir(filepath.Join(s.path(folderData), "mysql"), 0o700)
	}
	command, err := s.initialization()
	if err != nil {
		return err
	}
	p, err := s.runLocked(command)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), p.kill())
	}
	if p.err != nil {
		return s.logged(fmt.Errorf("%s: %w", filepath.Base(command.Path), p.err))
	}
	return nil
}

// initialization is the server in its role of making the system tables, with accounts.
func (s *Server) initialization() (*exec.Cmd, error) {
	if !s.mariadb() {
		return s.program(append(s.commonArguments(), "--initialize-insecure")...), nil
	}
	// This is what mariadb-install-db does, without a need for the client's programs and
	// for the name service, and without half a second of help texts and views.
	statements, err := s.systemTables()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.path(fileSystem), statements, 0o600); err != nil {
		return nil, err
	}
	command := s.program(append(s.commonArguments(), "--bootstrap", "--log-warnings=0", "--max-allowed-packet=8M")...)
	command.Stdin, err = os.Open(s.path(fileSystem))
	return command, err
}

// systemTables are the statements, which come with every MariaDB, that make the tables
// of accounts and privileges.
func (s *Server) systemTables() ([]byte, error) {
	program := s.Binary.Path
	if resolved, err := filepath.EvalSymlinks(program); err == nil {
		program = resolved
	}
	shares := []string{filepath.Join(filepath.Dir(filepath.Dir(program)), "share"), "/usr/share"}
	for _, share := range shares {
		// The name changed from MySQL's to its own over the years.
		for _, folder := range []string{"mariadb", "mysql", ""} {
			for _, name := range []string{"mariadb", "mysql"} {
				path := filepath.Join(share, folder, name+"_system_tables")
				tables, err := os.ReadFile(path + ".sql")
				if err != nil {
					continue
				}
				rows, err := os.ReadFile(path + "_data.sql")
				if err != nil {
					continue
				}
				return bytes.Join([][]byte{
					[]byte("CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\n"), tables, rows,
				}, []byte("\n")), nil
			}
		}
	}
	return nil, fmt.Errorf("no mariadb_system_tables.sql in %s, which a server with accounts needs", strings.Join(shares, " or "))
}

// launchLocked starts the server and waits until it answers.
func (s *Server) launchLocked(ctx context.Context) error {
	p, err := s.runLocked(s.program(s.arguments()...))
	if err != nil {
		return err
	}
	err = s.awaitAnswer(ctx, p)
	if err == nil {
		return nil
	}
	ended := p.ended()
	err = errors.Join(err, p.kill())
	// The server's log is the only place where it says why it ended.
	if ended && strings.Contains(s.Log(), "TCP/IP port") {
		return &portTakenError{port: s.Port, err: s.logged(err)}
	}
	return s.logged(err)
}

// portTakenError is the end of a server that found its port in use.
type portTakenError struct {
	port uint16
	err  error
}

func (e *portTakenError) Error() string { return fmt.Sprintf("port %d: %v", e.port, e.err) }
func (e *portTakenError) Unwrap() error { return e.err }

// awaitAnswer looks at the socket until the server's greeting comes out of it. That is
// after it has carried out the initial statements.
func (s *Server) awaitAnswer(ctx context.Context, p *process) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.done:
			return fmt.Errorf("it ended before it answered: %w", errOrDone(p.err))
		case <-ticker.C:
			if greets(s.Socket) {
				return nil
			}
		}
	}
}

// greets reports whether a server greets who connects: its first packet begins with the
// protocol's version, 10, behind a header of four bytes.
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_v10.html
func greets(socket string) bool {
	connection, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return false
	}
	defer func() { _ = connection.Close() }()
	_ = connection.SetDeadline(time.Now().Add(time.Second))
	start := make([]byte, 5)
	_, err = io.ReadFull(connection, start)
	return err == nil && start[4] == 10
}

// runLocked starts a program that works in the server's folder, writes to its log, and
// is watched.
func (s *Server) runLocked(command *exec.Cmd) (*process, error) {
	log, err := os.Create(s.path(fileLog))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	command.Dir = s.Folder
	if command.Env == nil {
		command.Env = environment()
	}
	command.Stdout, command.Stderr = log, log
	p, err := startProcess(command, s.watchdog)
	if err == nil {
		s.process = p
	}
	return p, err
}

// environment is this program's, without what a service manager tells a service: the
// server would announce itself in our name.
func environment() []string {
	var kept []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		switch name {
		case "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES":
		default:
			kept = append(kept, variable)
		}
	}
	return kept
}

// logged adds the end of the server's log to an error.
func (s *Server) logged(err error) error {
	log := bytes.TrimSpace([]byte(s.Log()))
	if len(log) == 0 {
		return err
	}
	return fmt.Errorf("%w; its log ends with:\n%s", err, log)
}

// errOrDone gives an end without an error a name.
func errOrDone(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}
