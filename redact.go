package mysqlsession

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// masked stands for a password in everything that is printed.
const masked = "***"

// String is the connection string with the password masked. Of what a string cannot
// hold, TLSConfig and its keys among it, it shows nothing.
func (cfg Config) String() string {
	if cfg.Password == "" {
		return cfg.format("")
	}
	return cfg.format(masked)
}

// GoString is String.
func (cfg Config) GoString() string { return cfg.String() }

// Format prints String, whatever the verb and its flags: %+v and %#v would otherwise
// print the fields. fmt calls it not for a Config in an unexported field of a struct that
// it prints; a pointer there is safe.
func (cfg Config) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, cfg.String()) }

// LogValue is a group of the fields that are set, named as in a connection string, with
// the password masked.
func (cfg Config) LogValue() slog.Value {
	var attributes []slog.Attr
	for i := range parameterTable {
		if value := cfg.shown(&parameterTable[i]); value != nil {
			attributes = append(attributes, slog.Any(parameterTable[i].name, value))
		}
	}
	return slog.GroupValue(attributes...)
}

// MarshalJSON is an object of what LogValue shows. It is for showing: no Config can be
// read back from it.
func (cfg Config) MarshalJSON() ([]byte, error) {
	shown := make(map[string]any)
	for i := range parameterTable {
		if value := cfg.shown(&parameterTable[i]); value != nil {
			shown[parameterTable[i].name] = value
		}
	}
	return json.Marshal(shown)
}

// MarshalText is String, for encoders that look for it, of YAML and XML among others.
func (cfg Config) MarshalText() ([]byte, error) { return []byte(cfg.String()), nil }

func (cfg *Config) shown(p *parameter) any {
	value := p.value(cfg)
	if value != nil && p.field == "Password" {
		return masked
	}
	return value
}
