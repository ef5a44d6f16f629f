package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestCleanupRemovesWhatHasExpiredAndSaysHowManyThoseWere(t *testing.T) {
	eachDatabase(t, func(t *testing.T, server dbtest.Server, cfg mysqlsession.Config) {
		const expired = 1201 // more than two batches
		store, admin := storeIn(t, cfg), server.AdminIn(t, cfg.Database)
		require.NoError(t, store.Set(t.Context(), "session", "live", []byte("value"), time.Hour, nil))
		var rows []string
		for i := range expired {
			rows = append(rows, fmt.Sprintf("('expired%d', 'session', 'x', '2001-01-01')", i))
		}
		_, err := admin.ExecContext(t.Context(), "INSERT INTO sessions VALUES "+strings.Join(rows, ", "))
		require.NoError(t, err)

		assert.Equal(t, result{out: "1201 sessions have expired\n"}, execute(t, "cleanup", "--dry-run"))
		assert.Equal(t, result{out: "{\n  \"expired\": 1201\n}\n"}, execute(t, "cleanup", "--dry-run", "--json"))
		assert.Equal(t, result{out: "removed 1201 expired sessions\n"}, execute(t, "cleanup"))
		assert.Equal(t, result{out: "{\n  \"removed\": 0\n}\n"}, execute(t, "cleanup", "--json"))
		_, err = store.Get(t.Context(), "session", "live")
		require.NoError(t, err)

		_, err = admin.ExecContext(t.Context(), "INSERT INTO sessions VALUES ('one', 'session', 'x', '2001-01-01')")
		require.NoError(t, err)
		assert.Equal(t, result{out: "1 session has expired\n"}, execute(t, "cleanup", "--dry-run"))
		assert.Equal(t, result{out: "removed 1 expired session\n"}, execute(t, "cleanup"))
	})
}
