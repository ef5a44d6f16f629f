package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

// demoTable is where the demonstration keeps its sessions in a database that is
// somebody's: not in a table that may be in use.
const demoTable = "mysqlsession_demo"

// answerLimit is how long a server of our own may take for anything.
const answerLimit = 2 * time.Second

// database is where the demonstration keeps its sessions.
type database struct {
	config mysqlsession.Config
	kind   string // of a server of our own
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

// chooseDatabase takes the database that it is told, or starts one.
func (d *demo) chooseDatabase(ctx context.Context) (*database, error) {
	if config, err := d.target.config(); !errors.Is(err, errNoTarget) {
		return d.givenDatabase(config, err)
	}
	return d.start(ctx)
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
