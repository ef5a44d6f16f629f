package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/mysqlsession/mysqlsession"
)

// open opens the target's store for one command: it does nothing in the background, and
// calls have no company to wait for. What is wrong with the configuration is wrong usage.
func (t *target) open(command *cobra.Command, changes ...func(cfg *mysqlsession.Config)) (*mysqlsession.Store, error) {
	t.warn = command.ErrOrStderr()
	cfg, err := t.config()
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	cfg.CleanupInterval, cfg.MinIdleConns, cfg.Coalesce = -1, 0, mysqlsession.CoalesceOff
	for _, change := range changes {
		change(&cfg)
	}
	store, err := mysqlsession.Open(command.Context(), cfg)
	if errors.Is(err, mysqlsession.ErrInvalidConfig) {
		return nil, &exitError{exitUsage, err}
	}
	return store, err
}
