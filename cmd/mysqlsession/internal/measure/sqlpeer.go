package measure

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/mysqlsession/mysqlsession"
)

// The statements do what the library's do.
const (
	sqlGet = "SELECT sid, name, data FROM `%s` WHERE sid = ? AND exp >= FROM_UNIXTIME(?) AND data IS NOT NULL"
	sqlSet = "INSERT INTO `%s` (sid, name, data, exp) VALUES (?, ?, ?, FROM_UNIXTIME(?)) " +
		"ON DUPLICATE KEY UPDATE name = VALUES(name), data = VALUES(data), exp = VALUES(exp)"
)

type sqlPeer struct {
	db       *sql.DB
	get, set *sql.Stmt
}

// OpenTheirs is database/sql with so many connections, all of which it keeps, and with
// prepared statements.
func OpenTheirs(ctx context.Context, s *Scratch, connections int) (Peer, error) {
	settings, err := driverConfig(s.Config)
	if err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(settings)
	if err != nil {
		return nil, errors.New("configure database/sql: the driver refuses it") // its words may quote secrets
	}
	p := &sqlPeer{db: sql.OpenDB(connector)}
	p.db.SetMaxOpenConns(connections)
	p.db.SetMaxIdleConns(connections)
	p.get, err = p.db.PrepareContext(ctx, fmt.Sprintf(sqlGet, s.Config.TableName))
	if err == nil {
		p.set, err = p.db.PrepareContext(ctx, fmt.Sprintf(sqlSet, s.Config.TableName))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare with database/sql: %w", err), p.Close())
	}
	return p, nil
}

func (p *sqlPeer) Name() string { return Theirs }

func (p *sqlPeer) Get(ctx context.Context, key string) error {
	var sid, name string
	var data []byte
	return p.get.QueryRowContext(ctx, key, time.Now().Unix()).Scan(&sid, &name, &data)
}

func (p *sqlPeer) Set(ctx context.Context, key string, value []byte) error {
	_, err := p.set.ExecContext(ctx, key, cookie, value, time.Now().Add(lifetime).Unix())
	return err
}

func (p *sqlPeer) Close() error { return p.db.Close() }

// driverConfig says in the driver's terms what the library's configuration says.
func driverConfig(cfg mysqlsession.Config) (*mysql.Config, error) {
	driver := mysql.NewConfig()
	driver.User, driver.Passwd, driver.DBName = cfg.Username, cfg.Password, cfg.Database
	driver.Timeout, driver.ReadTimeout, driver.WriteTimeout = 10*time.Second, 30*time.Second, 30*time.Second
	driver.Logger = &mysql.NopLogger{}
	if cfg.TimeZone != "" {
		driver.Params = map[string]string{"time_zone": "'" + cfg.TimeZone + "'"}
	}
	if cfg.Socket != "" {
		driver.Net, driver.Addr = "unix", cfg.Socket
		return driver, nil
	}
	host, port := cfg.Host, cfg.Port
	if host == "" {
		host = "127.0.0.1"
	}
	if port == 0 {
		port = 3306
	}
	driver.Net, driver.Addr = "tcp", net.JoinHostPort(host, strconv.Itoa(int(port)))
	if err := protectPassword(driver, cfg); err != nil {
		return nil, err
	}
	return driver, protectConnection(driver, cfg, host)
}

// protectPassword keeps the driver from asking whoever answers for a key to send the
// password with, which the library refuses, too. It has no setting for that, but asks for
// no key when it has one: the server's, or one that fits nobody.
func protectPassword(driver *mysql.Config, cfg mysqlsession.Config) error {
	if cfg.AllowPublicKeyRetrieval && cfg.ServerPublicKey == "" {
		return nil
	}
	var key *rsa.PublicKey
	if cfg.ServerPublicKey == "" {
		if address := net.ParseIP(cfg.Host); cfg.Host == "" || cfg.Host == "localhost" || address != nil && address.IsLoopback() {
			return nil
		}
		nobody, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return err
		}
		key = &nobody.PublicKey
	} else {
		content, err := os.ReadFile(cfg.ServerPublicKey)
		if err != nil {
			return err
		}
		block, _ := pem.Decode(content)
		if block == nil {
			return fmt.Errorf("%s: no PEM key", cfg.ServerPublicKey)
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return fmt.Errorf("%s: %w", cfg.ServerPublicKey, err)
		}
		var ok bool
		if key, ok = parsed.(*rsa.PublicKey); !ok {
			return fmt.Errorf("%s: no RSA key", cfg.ServerPublicKey)
		}
	}
	name := "mysqlsession-" + rand.Text()
	mysql.RegisterServerPubKey(name, key)
	driver.ServerPubKey = name
	return nil
}

// protectConnection sets up TLS as the library's configuration asks for it.
func protectConnection(driver *mysql.Config, cfg mysqlsession.Config, host string) error {
	mode := cfg.SSLMode
	switch {
	case mode == "" && cfg.SSLVerify:
		mode = mysqlsession.SSLModeVerifyIdentity
	case mode == "" && cfg.SSL:
		mode = mysqlsession.SSLModeRequired
	case mode == "":
		mode = mysqlsession.SSLModeDisabled
	}
	if mode == mysqlsession.SSLModeDisabled {
		return nil
	}
	settings := &tls.Config{
		ServerName: host, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: mode != mysqlsession.SSLModeVerifyIdentity,
	}
	if cfg.SSLCA != "" {
		content, err := os.ReadFile(cfg.SSLCA)
		if err != nil {
			return err
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(content) {
			return fmt.Errorf("%s: no PEM certificate", cfg.SSLCA)
		}
	}
	if cfg.SSLCert != "" {
		pair, err := tls.LoadX509KeyPair(cfg.SSLCert, cfg.SSLKey)
		if err != nil {
			return err
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	if mode == mysqlsession.SSLModeVerifyCA {
		settings.VerifyConnection = func(state tls.ConnectionState) error { return verifyChain(state, settings.RootCAs) }
	}
	driver.TLS, driver.AllowFallbackToPlaintext = settings, mode == mysqlsession.SSLModePreferred
	return nil
}

// verifyChain is what crypto/tls does, but for the host's name.
func verifyChain(state tls.ConnectionState, roots *x509.CertPool) error {
	intermediates := x509.NewCertPool()
	for _, certificate := range state.PeerCertificates[1:] {
		intermediates.AddCert(certificate)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates})
	return err
}
