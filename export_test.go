package mysqlsession

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
)

// WithDefaults opens withDefaults to tests.
func WithDefaults(cfg Config) Config { return cfg.withDefaults() }

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

// Dial opens dial to tests: where it logged in, and over what.
func Dial(ctx context.Context, cfg Config) (address string, conn net.Conn, err error) {
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
	defer cancel()
	t, err := dial(ctx, &cfg)
	if err != nil {
		return "", nil, err
	}
	return t.address, t.Conn, nil
}

// SSLModeOf opens sslMode to tests.
func SSLModeOf(cfg Config) (SSLMode, error) { return cfg.sslMode() }

// TLSConfigOf opens tlsConfig to tests.
func TLSConfigOf(cfg Config, host string) (*tls.Config, error) { return cfg.tlsConfig(host) }
