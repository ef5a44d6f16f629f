package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/localserver"
)

// demoTable is where the demonstration keeps its sessions in a database that is
// somebody's: not in a table that may be in use.
const demoTable = "mysqlsession_demo"

// answerLimit is how long a server of our own may take for anything.
const answerLimit = 2 * time.Second

// database is where the demonstration keeps its sessions.
type database struct {
	config mysqlsession.Config
	name   string // for people
	leaves string // what is left when it has stopped, in a sentence
	// client is a command that begins a statement in the database. "": not known.
	client string
	stop   func() error
}

// table is the name of the sessions' table.
func (db *database) table() string { return cmp.Or(db.config.TableName, "sessions") }

// look says how to see the rows.
func (db *database) look() string {
	statement := fmt.Sprintf("SELECT name, exp, CONVERT(data USING utf8mb4) AS data FROM %s", db.table())
	if db.client == "" {
		return ":\n         " + statement + ";"
	}
	return fmt.Sprintf(":\n         %s -e '%s'", db.client, statement)
}

// chooseDatabase takes the database that it is told, or starts one: from a server
// program, else in a container.
func (d *demo) chooseDatabase(ctx context.Context) (*database, error) {
	if config, err := d.target.config(); !errors.Is(err, errNoTarget) {
		return d.givenDatabase(config, err)
	}
	var failures []error
	for _, binary := range d.find() {
		db, err := d.startServer(ctx, binary)
		if err == nil || ctx.Err() != nil {
			return db, err
		}
		failures = append(failures, err)
	}
	if err := d.engine(ctx); err == nil {
		db, err := d.startContainer(ctx)
		if err == nil || ctx.Err() != nil {
			return db, err
		}
		failures = append(failures, err)
	}
	if len(failures) > 0 {
		return nil, errors.Join(failures...)
	}
	return nil, fmt.Errorf("no database for the demonstration: %s is not set, this machine has neither mariadbd nor mysqld, "+
		"and no Docker engine answers; %s", dsnVariable, installHint())
}

// givenDatabase is the one that the flags or the environment name.
func (d *demo) givenDatabase(config mysqlsession.Config, err error) (*database, error) {
	if err != nil {
		return nil, err
	}
	if config.TableName == "" {
		config.TableName = demoTable
	}
	if config.TableNameMeta == "" {
		config.TableNameMeta = config.TableName + "_meta"
	}
	config.Logger = d.logger
	return &database{
		config: config,
		name:   fmt.Sprintf("%s of %s, tables %s and %s", config.Database, d.target.origin(), config.TableName, config.TableNameMeta),
		leaves: "The two tables stay in your database, those of the load do not.",
		stop:   func() error { return nil },
	}, nil
}

// startServer starts a private server that only this user reaches, through its socket.
func (d *demo) startServer(ctx context.Context, binary localserver.Binary) (*database, error) {
	begin := time.Now()
	server, err := localserver.Start(ctx, localserver.Options{Binary: binary, SocketOnly: true})
	if err != nil {
		return nil, err
	}
	config := mysqlsession.Config{
		Socket: server.Socket, Username: server.Username, Password: server.Password, Database: server.Database,
		// It answers at once or not at all.
		ConnectTimeout: answerLimit, SendTimeout: answerLimit, ReadTimeout: answerLimit,
		Logger: d.logger,
	}
	program, account := "MySQL", "MYSQL_PWD="+server.Password+" mysql -u "+server.Username
	if binary.Flavor == localserver.FlavorMariaDB {
		program, account = "MariaDB", clientProgram()
	}
	return &database{
		config: config,
		name:   fmt.Sprintf("%s %s of its own, ready after %s", program, binary.Version, time.Since(begin).Round(time.Millisecond)),
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
