package measure

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestPeersDoTheSameOnTheSameTablesByEveryWayToTheServer(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, transport := range server.Transports() {
			t.Run(transport.Name, func(t *testing.T) {
				cfg := transport.Over(server.NewDatabase(t))
				var told []string
				s, err := NewScratch(t.Context(), cfg, Workload{Sessions: 100, ValueSize: 32}, func(tables []string) { told = tables })
				require.NoError(t, err)
				require.Equal(t, told, s.Tables())
				require.Positive(t, s.Server.MaxConnections)
				require.NotEmpty(t, s.Server.Version)
				admin := server.AdminIn(t, cfg.Database)
				var rows int
				require.NoError(t, admin.QueryRow("SELECT COUNT(*) FROM "+s.Config.TableName+" WHERE LENGTH(data) = 32").Scan(&rows))
				require.Equal(t, 100, rows)

				ours, err := OpenOurs(t.Context(), s, 2)
				require.NoError(t, err)
				theirs, err := OpenTheirs(t.Context(), s, 2)
				require.NoError(t, err)
				for i, peer := range []Peer{ours, theirs} {
					value := []byte{byte(i), 0, 0xff, '\''}
					require.NoError(t, peer.Set(t.Context(), s.keys[i], value))
					stored, err := ours.(*storePeer).store.Get(t.Context(), cookie, s.keys[i])
					require.NoError(t, err)
					require.Equal(t, value, stored)
					var left int64
					require.NoError(t, admin.QueryRow("SELECT TIMESTAMPDIFF(SECOND, NOW(), exp) FROM "+s.Config.TableName+" WHERE sid = ?", s.keys[i]).Scan(&left))
					require.InDelta(t, lifetime.Seconds(), left, 60)
					require.NoError(t, peer.Get(t.Context(), s.keys[2]))
					require.Error(t, peer.Get(t.Context(), "nobody"))
				}
				var name, cipher string
				require.NoError(t, theirs.(*sqlPeer).db.QueryRow("SHOW SESSION STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher))
				require.Equal(t, transport.Name == "tls", cipher != "", "what ours encrypts theirs encrypts, too")
				require.NoError(t, ours.Close())
				require.NoError(t, theirs.Close())
				require.NoError(t, s.Remove(t.Context()))
				require.NoError(t, s.Remove(t.Context()), "what is gone is no error")
			})
		}
	})
}

func TestPoolsThatNearlyFillTheServerCanFollowEachOther(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		const connections = 24
		cfg := server.NewDatabase(t)
		s, err := NewScratch(t.Context(), cfg, Workload{Sessions: 10, ValueSize: 16, ReadShare: 1}, func([]string) {})
		require.NoError(t, err)
		server.SetGlobal(t, "max_connections", s.Server.Connected+connections+6)
		for range 5 {
			require.NoError(t, Settle(t.Context(), s, connections))
			peer, err := OpenOurs(t.Context(), s, connections)
			require.NoError(t, err)
			_, err = Steady(t.Context(), s, Load{Rate: 500, Duration: 20 * time.Millisecond, Deadline: 5 * time.Second}, []Peer{peer}, connections)
			require.NoError(t, err)
			require.NoError(t, peer.Close())
		}
		require.NoError(t, s.Remove(t.Context()))
	})
}

func TestPeerOfTheStandardLibraryTrustsNoOtherCertificates(t *testing.T) {
	for _, mode := range []mysqlsession.SSLMode{mysqlsession.SSLModeVerifyCA, mysqlsession.SSLModeVerifyIdentity} {
		driver, err := driverConfig(mysqlsession.Config{Host: "db.example", SSLMode: mode})
		require.NoError(t, err)
		require.NotNil(t, driver.TLS)
		require.False(t, driver.AllowFallbackToPlaintext)
		require.Equal(t, mode == mysqlsession.SSLModeVerifyIdentity, !driver.TLS.InsecureSkipVerify)
		require.Equal(t, mode == mysqlsession.SSLModeVerifyCA, driver.TLS.VerifyConnection != nil)
		require.Equal(t, "db.example", driver.TLS.ServerName)
	}
	driver, err := driverConfig(mysqlsession.Config{Host: "db.example", SSL: true, SSLVerify: true})
	require.NoError(t, err)
	require.False(t, driver.TLS.InsecureSkipVerify)
	driver, err = driverConfig(mysqlsession.Config{Host: "db.example", SSLMode: mysqlsession.SSLModePreferred})
	require.NoError(t, err)
	require.True(t, driver.AllowFallbackToPlaintext)
	_, err = driverConfig(mysqlsession.Config{SSLMode: mysqlsession.SSLModeVerifyCA, SSLCA: "/nowhere"})
	require.ErrorContains(t, err, "/nowhere")
}

func TestPeerOfTheStandardLibraryAsksNobodyFarAwayForAKey(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	encoded, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "key.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: encoded}), 0o600))
	for name, c := range map[string]struct {
		cfg    mysqlsession.Config
		hasKey bool
	}{
		"loopback":     {mysqlsession.Config{Host: "127.0.0.1"}, false},
		"the default":  {mysqlsession.Config{}, false},
		"far away":     {mysqlsession.Config{Host: "db.example"}, true},
		"allowed":      {mysqlsession.Config{Host: "db.example", AllowPublicKeyRetrieval: true}, false},
		"with its key": {mysqlsession.Config{Host: "db.example", ServerPublicKey: file}, true},
		"by socket":    {mysqlsession.Config{Socket: "/tmp/s.sock"}, false},
	} {
		driver, err := driverConfig(c.cfg)
		require.NoError(t, err, name)
		require.Equal(t, c.hasKey, driver.ServerPubKey != "", name)
		require.False(t, driver.AllowCleartextPasswords, name)
	}
	_, err = driverConfig(mysqlsession.Config{Host: "db.example", ServerPublicKey: "/nowhere"})
	require.ErrorContains(t, err, "/nowhere")
}

func TestServerThatCannotBeReachedLeavesNothingToRemove(t *testing.T) {
	cfg := mysqlsession.Config{Host: "127.0.0.1", Port: 1, Database: "none", ConnectTimeout: 200 * time.Millisecond}
	_, err := NewScratch(t.Context(), cfg, Workload{Sessions: 1, ValueSize: 16}, func([]string) { t.Error("tables are told") })
	require.ErrorIs(t, err, mysqlsession.ErrUnavailable)
}
