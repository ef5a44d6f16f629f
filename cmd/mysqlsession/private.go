package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"time"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/localserver"
)

// private is a server of the program's own, for as long as it runs: how one is got.
type private struct {
	image  string // of the container, where one is used
	out    io.Writer
	logger *slog.Logger
	// durable has the server write as safely as it does by itself: for figures that mean
	// something.
	durable bool

	find   func() []localserver.Binary     // the server programs of this machine
	engine func(ctx context.Context) error // nil: a Docker engine answers
}

// start starts a server from a program of this machine, else in a container.
func (p *private) start(ctx context.Context) (*database, error) {
	var failures []error
	for _, binary := range p.find() {
		db, err := p.startServer(ctx, binary)
		if err == nil || ctx.Err() != nil {
			return db, err
		}
		failures = append(failures, err)
	}
	if err := p.engine(ctx); err == nil {
		db, err := p.startContainer(ctx)
		if err == nil || ctx.Err() != nil {
			return db, err
		}
		failures = append(failures, err)
	}
	if len(failures) > 0 {
		return nil, errors.Join(failures...)
	}
	return nil, fmt.Errorf("no database: %s is not set, this machine has neither mariadbd nor mysqld, "+
		"and no Docker engine answers; %s", dsnVariable, installHint())
}

// options are those of a server that only this user reaches, through its socket.
func (p *private) options(binary localserver.Binary) localserver.Options {
	o := localserver.Options{Binary: binary, SocketOnly: true, Durable: p.durable}
	if p.durable {
		// With the small redo log of the tests a server that writes much waits for its pages.
		redo := "--loose-innodb-redo-log-capacity=100M"
		if binary.Flavor == localserver.FlavorMariaDB {
			redo = "--innodb-log-file-size=96M"
		}
		o.Arguments = []string{redo}
	}
	return o
}

// startServer starts a server from a program of this machine.
func (p *private) startServer(ctx context.Context, binary localserver.Binary) (*database, error) {
	begin := time.Now()
	server, err := localserver.Start(ctx, p.options(binary))
	if err != nil {
		return nil, err
	}
	config := mysqlsession.Config{
		Socket: server.Socket, Username: server.Username, Password: server.Password, Database: server.Database,
		// It answers at once or not at all.
		ConnectTimeout: answerLimit, SendTimeout: answerLimit, ReadTimeout: answerLimit,
		Logger: p.logger,
	}
	program, account := "MySQL", "MYSQL_PWD="+server.Password+" mysql -u "+server.Username
	if binary.Flavor == localserver.FlavorMariaDB {
		program, account = "MariaDB", clientProgram()
	}
	kind := fmt.Sprintf("%s %s of its own", program, binary.Version)
	return &database{
		config: config, kind: kind,
		name:   fmt.Sprintf("%s, ready after %s", kind, time.Since(begin).Round(time.Millisecond)),
		leaves: "The server and all that it stored go with it.",
		client: account + " --socket=" + server.Socket + " " + server.Database,
		stop:   server.Stop,
	}, nil
}

// clientProgram is the MariaDB client that is here, or the one to install.
func clientProgram() string {
	if _, err := exec.LookPath("mariadb"); err != nil {
		if _, err := exec.LookPath("mysql"); err == nil {
			return "mysql"
		}
	}
	return "mariadb"
}
