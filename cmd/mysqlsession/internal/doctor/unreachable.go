package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"github.com/mysqlsession/mysqlsession"
)

// unreachable is the finding about a server that could not be used at all.
func unreachable(cfg *mysqlsession.Config, address string, err error) Finding {
	problem, fix := connectFailure(cfg, address, err)
	var broken *brokenOffError
	if errors.As(err, &broken) {
		problem, fix = "was lost while it was looked at: "+reason(err), "see the server's log; read_timeout=30s in the DSN, if it is slow"
	}
	return Finding{Severity: mysqlsession.SeverityError, Subject: address, Problem: problem, Fix: fix}
}

// connectFailure is about a connection that could not be made.
func connectFailure(cfg *mysqlsession.Config, address string, err error) (problem, fix string) {
	problem, fix = networkFailure(cfg, err)
	if problem == "" {
		problem, fix = tlsFailure(cfg, err)
	}
	var refusal *mysqlsession.ServerError
	if problem == "" && errors.As(err, &refusal) {
		if problem, fix = loginFailure(cfg, refusal.Code); problem == "" {
			problem, fix = stateFailure(cfg, refusal.Code)
		}
	}
	if problem == "" {
		return "cannot be used: " + strings.TrimPrefix(reason(err), "connect to "+address+": "), "see the server's log"
	}
	return problem, fix
}

// networkFailure is about getting there; "" if that was not it.
func networkFailure(cfg *mysqlsession.Config, err error) (problem, fix string) {
	var dns *net.DNSError
	var refusal *mysqlsession.ServerError
	switch {
	case errors.As(err, &refusal):
		return "", ""
	case errors.As(err, &dns):
		return "cannot be reached: its name is not known", "the server's name in the DSN, or its address in DNS or /etc/hosts"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "cannot be reached: nothing listens there", "systemctl start mariadb, or mysql; if it runs: bind-address and port in its option file"
	case errors.Is(err, fs.ErrNotExist) && cfg.Socket != "":
		return "cannot be reached: there is no such socket", "the path that the server has: SELECT @@socket;"
	case errors.Is(err, fs.ErrPermission):
		return "cannot be reached: this user may not open it", "run as a user who may open the socket, or connect by TCP"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "cannot be reached: there is no way to it", "routes and firewalls on the way to the server"
	case errors.Is(err, context.DeadlineExceeded):
		return "does not answer within ConnectTimeout, " + cfg.ConnectTimeout.String(), "firewalls on the way to the server, and whether it hangs: systemctl status mariadb, or mysql"
	default:
		return "", ""
	}
}

// tlsFailure is about TLS, and about logins that need it.
func tlsFailure(cfg *mysqlsession.Config, err error) (problem, fix string) {
	var hostname x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.Is(err, mysqlsession.ErrTLSUnavailable):
		return "has no TLS, which the configuration asks for", "ssl_cert = FILE, ssl_key = FILE in the server's option file"
	case errors.Is(err, mysqlsession.ErrKeyRetrieval):
		return "wants a login that is not safe without TLS", "ssl=true&ssl_verify=true in the DSN, or server_public_key=FILE with the key that SHOW STATUS LIKE 'Caching_sha2_password_rsa_public_key' tells"
	case errors.As(err, &hostname):
		return "has a certificate for another name than " + cfg.Host, "the name in the DSN that the certificate has, or ssl_mode=verify_ca"
	case errors.As(err, &authority):
		return "has a certificate of an authority that is not known here", "ssl_ca=FILE in the DSN, with the authority's certificate"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "has a certificate that has expired, or is not valid yet", "renew it; ALTER INSTANCE RELOAD TLS; or, on MariaDB, FLUSH SSL;"
	default:
		return "", ""
	}
}

// loginFailure is about the account and what it asks for.
func loginFailure(cfg *mysqlsession.Config, code uint16) (problem, fix string) {
	user := quoteText(cfg.Username) + "@'%'"
	database := quoteIdentifier(cfg.Database)
	switch code {
	case 1045, 1698:
		fix = "the password in MYSQLSESSION_PASSWORD or the DSN; or ALTER USER " + user + " IDENTIFIED BY 'a new password';"
		if !encrypts(cfg) {
			fix += " -- and ssl=true in the DSN, if the account or the server requires TLS"
		}
		return "denies the login of user " + quoteText(cfg.Username) + ": the password is wrong, or the account does not exist, or asks for more", fix
	case 1044:
		return "lets user " + quoteText(cfg.Username) + " do nothing in database " + database,
			"GRANT SELECT, INSERT, UPDATE, DELETE ON " + database + ".* TO " + user + ";"
	case 1049:
		return "has no database " + database, "CREATE DATABASE " + database + ";"
	case 1130:
		return "lets nobody in from this machine", "CREATE USER " + user + " IDENTIFIED BY 'a new password';"
	case 1251, 1524:
		return "has an account that logs in by a method which is not supported", "ALTER USER " + user + " IDENTIFIED WITH caching_sha2_password BY 'a new password'; or, on MariaDB, IDENTIFIED VIA ed25519 USING PASSWORD('a new password');"
	case 1862, 1820:
		return "has an account whose password has expired", "ALTER USER " + user + " IDENTIFIED BY 'a new password' PASSWORD EXPIRE NEVER;"
	case 3118, 4151:
		return "has an account that is locked", "ALTER USER " + user + " ACCOUNT UNLOCK;"
	case 3159:
		return "takes logins over TLS only", "ssl=true&ssl_verify=true in the DSN"
	default:
		return "", ""
	}
}

// stateFailure is about a server that is there and does not serve.
func stateFailure(cfg *mysqlsession.Config, code uint16) (problem, fix string) {
	switch code {
	case 1040:
		return "has no connection left", "SET GLOBAL max_connections = 500; -- and see who has them: SHOW PROCESSLIST"
	case 1203, 1226:
		return "gives the account no further connection", "ALTER USER " + quoteText(cfg.Username) + "@'%' WITH MAX_USER_CONNECTIONS 0;"
	case 1129:
		return "has shut this machine out after failed connections", "FLUSH HOSTS; or, on MySQL, TRUNCATE TABLE performance_schema.host_cache;"
	case 1298:
		return "does not know time zone " + quoteText(cfg.TimeZone), "time_zone=+00:00 in the DSN; or, on the server, mysql_tzinfo_to_sql /usr/share/zoneinfo | mysql mysql"
	case 1115:
		return "does not know character set " + quoteText(cfg.Charset), "charset=utf8mb4 in the DSN"
	case 1053:
		return "is shutting down", "start it again"
	case 1047:
		return "is a node of Galera that is not ready", "wait until it has joined; if it has no majority and the others are gone for good: SET GLOBAL wsrep_provider_options = 'pc.bootstrap=YES';"
	case 3032:
		return "is in offline mode, in which it lets administrators in only", "SET PERSIST offline_mode = OFF;"
	default:
		return "", ""
	}
}

func encrypts(cfg *mysqlsession.Config) bool {
	return cfg.SSL || cfg.SSLMode != "" && cfg.SSLMode != mysqlsession.SSLModeDisabled
}
