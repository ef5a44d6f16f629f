package mysqlsession

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// Validate opens validate to tests.
func Validate(cfg Config) error { return cfg.validate() }

// ValidateStore opens validateStore to tests.
func ValidateStore(cfg Config) error { return cfg.validateStore() }

// CopyConfig opens copy to tests.
func CopyConfig(cfg Config) Config { return cfg.copy() }

// Parameter is one row of the table of parameters.
type Parameter struct {
	Name, Field string
	At          func(*Config) any
}

// Parameters is the table of parameters.
func Parameters() []Parameter {
	var rows []Parameter
	for _, p := range parameterTable {
		rows = append(rows, Parameter{p.name, p.field, p.at})
	}
	return rows
}

// ParameterText is what a Config holds for a parameter, as it is printed; "" if unset.
func ParameterText(cfg Config, name string) string {
	p, _ := parameterOf(name)
	if value := p.value(&cfg); value != nil {
		return fmt.Sprint(value)
	}
	return ""
}

// Dial opens dial and firstServing to tests: where it logged in, and over what.
func Dial(ctx context.Context, cfg Config) (address string, conn net.Conn, err error) {
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
	defer cancel()
	var t *transport
	err = cfg.firstServing(ctx, nil, func(ctx context.Context, to endpoint, _ int) (err error) {
		t, err = dial(ctx, &cfg, to)
		return err
	})
	if err != nil {
		return "", nil, err
	}
	return t.address, t.Conn, nil
}

// SSLModeOf opens sslMode to tests.
func SSLModeOf(cfg Config) (SSLMode, error) { return cfg.sslMode() }

// TLSConfigOf opens tlsConfig to tests.
func TLSConfigOf(cfg Config, host string) (*tls.Config, error) { return cfg.tlsConfig(host) }

// NewConn is a Conn over conn, as a login and the setting up leave it, with nothing sent
// or read. socket is what is under a TLS connection, or conn again. cfg must be complete.
func NewConn(conn, socket net.Conn, capabilities wire.Capability, serverVersion string, cfg Config) *Conn {
	return newConn(&transport{
		Conn:          conn,
		socket:        socket,
		capabilities:  capabilities,
		serverVersion: serverVersion,
		address:       "peer",
	}, &cfg)
}

// Transact runs the statements as one transaction.
func (c *Conn) Transact(ctx context.Context, statements ...string) error {
	return c.transact(ctx, transaction(nil, statements), nil)
}

// TransactWith is Transact with the same arguments for every statement.
func (c *Conn) TransactWith(ctx context.Context, arguments []any, statements ...string) error {
	values, err := parameters(arguments)
	if err != nil {
		return err
	}
	return c.transact(ctx, transaction(values, statements), nil)
}

// TransactAnd is Transact that calls before between the statements and the commit.
func (c *Conn) TransactAnd(ctx context.Context, before func(), statements ...string) error {
	return c.transact(ctx, transaction(nil, statements), func() error {
		before()
		return nil
	})
}

func transaction(values []wire.Parameter, statements []string) []request {
	requests := []request{beginRequest()}
	for _, statement := range statements {
		requests = append(requests, request{statement: statement, parameters: values})
	}
	return requests
}

// Together opens roundTrip to tests, with statements that write.
func (c *Conn) Together(ctx context.Context, statements ...string) error {
	requests := make([]request, len(statements))
	for i, statement := range statements {
		requests[i].statement = statement
	}
	return c.roundTrip(ctx, effectWrite, requests)
}

// RoundTrips is how many requests were written and answered so far, several in one write
// counting once.
func (c *Conn) RoundTrips() uint64 { return c.roundTrips }

// Reusable reports whether a pool would hand the connection on.
func (c *Conn) Reusable() bool { return c.reusable() }

// PeekAfter is peekAfter.
const PeekAfter = peekAfter

// LoseStatements has the server forget every statement that the connection has prepared.
func (c *Conn) LoseStatements() error {
	for _, p := range c.statements.byText {
		if _, err := c.transport.Write(wire.AppendCloseStatement(nil, p.id)); err != nil {
			return err
		}
	}
	return nil
}

// Drains has the connection wait for a reply whose caller has left, as a pool's does.
func (c *Conn) Drains() *Conn {
	c.keeps = true
	return c
}

// Draining opens draining to tests.
func (c *Conn) Draining() bool { return c.draining() }

// Drain opens drain to tests.
func (c *Conn) Drain() bool { return c.drain() }

// DrainBudget is drainBudget.
const DrainBudget = drainBudget

// TurnKey is the id of the row that stands for a subject's turn.
func TurnKey(name, audience, subject string) string {
	return turnKey(name, Metadata{audience, subject})
}
