// Package exampletest is what the tests of the examples share: a service that runs, those who
// visit it, and the journeys that every example must stand.
package exampletest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/examples/internal/service"
)

// Start runs the service until the test ends, or until end is called, and returns its
// address.
func Start[S service.Server](t *testing.T, open func(store *mysqlsession.Store) (S, error), arguments ...string) (address string, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := service.Run(ctx, "example", append(arguments, "-listen", "127.0.0.1:0"), writer, open)
		ended <- errors.Join(err, writer.Close())
	}()
	end = func() {
		if ctx.Err() == nil {
			cancel()
			assert.NoError(t, <-ended)
		}
	}
	t.Cleanup(end)
	line, err := bufio.NewReader(reader).ReadString('\n')
	require.NoError(t, err)
	address, _, found := strings.Cut(line, ";")
	require.True(t, found, line)
	return address, end
}
