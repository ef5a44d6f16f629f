package dbtest

import (
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

func TestMain(m *testing.M) { Main(m) }

func TestEveryServerAnswersAndIsNamedByFlavorAndVersion(t *testing.T) {
	Each(t, func(t *testing.T, server Server) {
		var answer int
		require.NoError(t, server.Admin(t).QueryRow("SELECT 1").Scan(&answer))
		assert.Equal(t, 1, answer)
		assert.True(t, strings.HasPrefix(server.Name, server.Flavor+"-"), server.Name)
		assert.Equal(t, server.MariaDB(), strings.Contains(server.Version, "MariaDB"))
		assert.Empty(t, server.Config.Database)
	})
}

func TestAScratchDatabaseIsEmptyAndGoneAfterItsTest(t *testing.T) {
	Each(t, func(t *testing.T, server Server) {
		admin := server.Admin(t)
		count := func(database string) (databases int) {
			require.NoError(t, admin.QueryRow(
				"SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?", database).Scan(&databases))
			return databases
		}
		var database string
		t.Run("its test", func(t *testing.T) {
			database = server.NewDatabase(t).Database
			assert.Equal(t, 1, count(database))
			_, err := server.AdminIn(t, database).Exec("CREATE TABLE one (id INT)")
			require.NoError(t, err)
		})
		assert.Zero(t, count(database))
	})
}

func TestTransportsAreThoseThatTheServerHas(t *testing.T) {
	tests := []struct {
		name   string
		server Server
		want   []string
	}{
		{"a bare address", Server{}, []string{"tcp"}},
		{"a known authority", Server{CA: "ca.pem"}, []string{"tcp", "tls"}},
		{"a certificate of its own", Server{Encrypts: true}, []string{"tcp", "tls"}},
		{"everything", Server{CA: "ca.pem", Socket: "/sock"}, []string{"tcp", "tls", "socket"}},
		{
			"a DSN that insists on TLS",
			Server{Config: mysqlsession.Config{SSLMode: mysqlsession.SSLModeRequired}, CA: "ca.pem", Socket: "/sock"},
			[]string{"tls", "socket"},
		},
		{"a DSN of a socket alone", Server{Config: mysqlsession.Config{Socket: "/sock"}}, []string{"socket"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var names []string
			for _, transport := range test.server.Transports() {
				cfg := transport.Over(test.server.Config)
				assert.Equal(t, transport.Name, transportName(cfg))
				names = append(names, transport.Name)
			}
			assert.Equal(t, test.want, names)
		})
	}
}

func TestALeftGoroutineIsFoundWithItsStack(t *testing.T) {
	release := leaveBehind()
	assert.True(t, slices.ContainsFunc(leakedGoroutines(0), isLeftBehind))

	close(release)
	for slices.ContainsFunc(foreignGoroutines(), isLeftBehind) {
		runtime.Gosched()
	}
}

func TestGoroutinesThatEndWithinTheGraceAreNoLeak(t *testing.T) {
	release := leaveBehind()
	defer time.AfterFunc(50*time.Millisecond, func() { close(release) }).Stop()
	// The goroutines of the tests themselves are always there, so all of the grace passes.
	assert.False(t, slices.ContainsFunc(leakedGoroutines(500*time.Millisecond), isLeftBehind))
}

// leaveBehind starts a goroutine that runs until the returned channel is closed.
func leaveBehind() chan struct{} {
	started, release := make(chan struct{}), make(chan struct{})
	go leftBehind(started, release)
	<-started
	return release
}

func leftBehind(started, release chan struct{}) {
	close(started)
	<-release
}

func isLeftBehind(stack string) bool { return strings.Contains(stack, "dbtest.leftBehind(") }
