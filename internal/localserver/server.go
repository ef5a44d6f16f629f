package localserver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// ErrNoServer is returned by Start when this machine has no server program.
var ErrNoServer = errors.New("no mariadbd or mysqld found on this machine")

// Bounds on what a server may take. They are for a machine that is busy with much else.
const (
	startLimit    = 2 * time.Minute
	shutdownGrace = 20 * time.Second
	pollInterval  = 5 * time.Millisecond
	portAttempts  = 5
)

// Options say what kind of server Start starts. The zero value is the quickest: the
// first program that Find finds, without passwords, TLS or care for a power failure.
type Options struct {
	// Binary is the program. The zero value: the first one of Find.
	Binary Binary
	// Accounts makes a MariaDB check names and passwords, and adds a fifth of a second; without
	// it any are good. MySQL always checks them.
	Accounts bool
	// TLS gives the server a certificate for localhost, 127.0.0.1 and ::1. Without it
	// the server has no TLS.
	TLS bool
	// Durable keeps the server's own, safe way of writing to disk: for figures that must
	// mean something, and for data that must outlive Kill.
	Durable bool
	// SocketOnly leaves the server without a TCP port, so that only this user reaches it.
	SocketOnly bool
	// Arguments are added to the server's command line, where they win over the others.
	Arguments []string

	pickPort func() (uint16, error) // nil: a free one; tests put a taken one here
	confined func(path string) bool // nil: ask the system; tests put their answer here
}

// Server is a running server. Its fields do not change; its methods may be called
// concurrently. Whoever started it calls Stop.
type Server struct {
	Host     string // "127.0.0.1"
	Port     uint16 // 0 with Options.SocketOnly
	Socket   string // absolute path
	Username string
	Password string
	Database string // empty of tables
	Binary   Binary
	Folder   string // private, removed by Stop

	// PEM files, with Options.TLS, else "": the authority, and a certificate that it
	// signed with the key, for accounts that require one.
	CA                string
	ClientCertificate string
	ClientKey         string

	options     Options
	watchdog    *watchdog
	initialized bool // the database and the accounts are there

	mutex   sync.Mutex // guards what follows, and makes starting and ending one at a time
	process *process
	stopped bool
}

// Start starts a server and returns when it answers and its database exists. The
// context bounds the start only. The caller must Stop the server. When the server ends
// instead of answering, the error has the end of its log.
func Start(ctx context.Context, o Options) (*Server, error) {
	if !supported {
		return nil, fmt.Errorf("start a private server on this system: %w", errors.ErrUnsupported)
	}
	if o.Binary.Path == "" {
		found := Find()
		if len(found) == 0 {
			return nil, ErrNoServer
		}
		o.Binary = found[0]
	}
	s, err := newServer(o)
	if err != nil {
		return nil, fmt.Errorf("prepare a private server: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit,
		fmt.Errorf("not ready after %s: %w", startLimit, context.DeadlineExceeded))
	defer cancel()
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s %s: %w", o.Binary.Path, o.Binary.Version, err), s.Stop())
	}
	return s, nil
}

// newServer makes the folder, watched over from before it exists.
func newServer(o Options) (*Server, error) {
	o.Arguments = append([]string(nil), o.Arguments...)
	if o.pickPort == nil {
		o.pickPort = freePort
	}
	if o.confined == nil {
		o.confined = confined
	}
	folder, err := newFolderName()
	if err != nil {
		return nil, err
	}
	s := &Server{
		Host: "127.0.0.1", Socket: filepath.Join(folder, fileSocket),
		Username: "session", Password: rand.Text(), Database: "session",
		Binary: o.Binary, Folder: folder, options: o,
	}
	if o.TLS {
		s.CA, s.ClientCertificate, s.ClientKey = s.path(fileCA), s.path(fileClientCert), s.path(fileClientKey)
	}
	if s.watchdog, err = startWatchdog(folder); err != nil {
		return nil, err
	}
	if err := s.makeFolder(); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Server) makeFolder() error {
	for _, folder := range []string{s.Folder, s.path(folderData), s.path(folderScratch)} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			return err
		}
	}
	if s.options.TLS {
		if err := writeCertificates(s.Folder); err != nil {
			return err
		}
	}
	return os.WriteFile(s.path(fileInitial), []byte(s.initialStatements()), 0o600)
}

// newFolderName is a name that does not exist yet.
func newFolderName() (string, error) {
	random := make([]byte, 8)
	_, _ = rand.Read(random)
	name := folderPrefix + hex.EncodeToString(random)
	folder, err := filepath.Abs(filepath.Join(os.TempDir(), name))
	if err != nil {
		return "", err
	}
	// The path of a socket is limited to 104 to 108 bytes, whatever the file system can.
	if len(filepath.Join(folder, fileSocket)) > 100 {
		folder = filepath.Join("/tmp", name)
	}
	return folder, nil
}

// start sets up the data, starts the server and waits until it answers.
func (s *Server) start(ctx context.Context) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err := s.initialize(ctx); err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		if !s.options.SocketOnly {
			port, err := s.options.pickPort()
			if err != nil {
				return fmt.Errorf("find a free port: %w", err)
			}
			s.Port = port
		}
		err := s.launchLocked(ctx)
		var taken *portTakenError
		if errors.As(err, &taken) && attempt < portAttempts {
			continue // someone else got it between our look and the server's
		}
		if err != nil {
			return err
		}
		s.initialized = true
		return s.watchdog.confirm(ctx)
	}
}

// freePort is a port that was free a moment ago.
func freePort() (uint16, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("unexpected address %s", listener.Addr())
	}
	return uint16(address.Port), listener.Close()
}

// Pid is the number of the server's process, of the last one when it is not running.
func (s *Server) Pid() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.process == nil {
		return 0
	}
	return s.process.pid
}

// Kill ends the server as a crash would. Restart brings it back with its data, of which
// the last second is lost unless it is Durable.
func (s *Server) Kill() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	_ = s.process.kill()
}

// Restart shuts the server down, if it is running, and starts it again with the same
// data, on the same port and socket. The context bounds the start only.
func (s *Server) Restart(ctx context.Context) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.stopped {
		return errors.New("restart a private server: it has been stopped for good")
	}
	if err := s.process.terminate(shutdownGrace); err != nil {
		return fmt.Errorf("shut down a private server: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := s.launchLocked(ctx); err != nil {
		return fmt.Errorf("restart %s: %w", s.Binary.Path, err)
	}
	return nil
}

// Stop ends the server, removes its folder and returns when nothing is left. It takes
// milliseconds, and never longer than half a minute. A second call does nothing.
func (s *Server) Stop() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.stopped {
		return nil
	}
	s.stopped = true
	// What is thrown away need not be shut down with care.
	err := s.process.kill()
	if removal := os.RemoveAll(s.Folder); removal != nil {
		err = errors.Join(err, fmt.Errorf("remove the server's folder: %w", removal))
	}
	return errors.Join(err, s.watchdog.release())
}

// Log returns the end of what the server has written to its error log since it was last
// started: at most 4 KiB.
func (s *Server) Log() string {
	file, err := os.Open(s.path(fileLog))
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	const most = 4 << 10
	if info, err := file.Stat(); err == nil && info.Size() > most {
		_, _ = file.Seek(-most, io.SeekEnd)
	}
	text, _ := io.ReadAll(io.LimitReader(file, most))
	return string(text)
}
