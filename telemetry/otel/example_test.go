package mysqlsessionotel_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	mysqlsessionotel "github.com/mysqlsession/mysqlsession/telemetry/otel"
)

// What follows is the README's code.

func serveObserved(ctx context.Context, cfg mysqlsession.Config, serve func(*mysqlsession.Store) error) error {
	telemetry, err := mysqlsessionotel.New(mysqlsessionotel.Options{}) // the global providers
	if err != nil {
		return err
	}
	cfg.Trace = telemetry.Trace()
	store, err := mysqlsession.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer store.Close()
	unregister, err := telemetry.Register(store.Pool())
	if err != nil {
		return err
	}
	defer unregister()
	return serve(store)
}

func TestTheReadmesExampleRuns(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		served := false
		require.NoError(t, serveObserved(t.Context(), server.NewDatabase(t), func(store *mysqlsession.Store) error {
			served = true
			return store.Migrate(t.Context())
		}))
		require.True(t, served)
	})
}
