package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

// verified reports whether the configuration has the server's certificate verified.
func verified(cfg *mysqlsession.Config) bool {
	switch {
	case cfg.SSLMode == mysqlsession.SSLModeVerifyCA, cfg.SSLMode == mysqlsession.SSLModeVerifyIdentity, cfg.SSL && cfg.SSLVerify:
		return cfg.TLSConfig == nil || !cfg.TLSConfig.InsecureSkipVerify || cfg.TLSConfig.VerifyConnection != nil
	default:
		return false
	}
}

// plain reports whether the connection is known to leave the machine without TLS.
func (f *Facts) plain() bool {
	cipher, known := f.TLSStatus["ssl_cipher"]
	return known && cipher == "" && !f.Near
}

// encryption is about who can read along. What stays on the machine needs none.
func encryption(l *findings, f *Facts) {
	switch {
	case f.plain():
		l.warn("TLS", "is not used: whoever is on the way to the server reads session ids and values, and can take its place", "ssl=true&ssl_verify=true in the DSN")
	case !f.Near && f.TLSStatus["ssl_cipher"] != "" && !verified(&f.Config):
		l.warn("TLS", "is used without looking at the server's certificate: whoever is on the way can take its place", "ssl_mode=verify_identity&ssl_ca=FILE in the DSN")
	}
}

// publicKey is a login that works as long as the server remembers an earlier one.
func publicKey(l *findings, f *Facts) {
	sha := f.Plugin == "caching_sha2_password" || f.Plugin == "sha256_password"
	switch {
	case !sha || !f.plain() || f.Config.ServerPublicKey != "":
	case f.Config.AllowPublicKeyRetrieval:
		l.warn("AllowPublicKeyRetrieval", "is set, without TLS: whoever answers in the server's place learns the password", "ssl=true&ssl_verify=true in the DSN, or server_public_key=FILE")
	default:
		l.warn("account "+f.Account, "uses "+f.Plugin+" without TLS: logins work only until the server is restarted, and forgets that it knows the password",
			"ssl=true&ssl_verify=true in the DSN, or server_public_key=FILE")
	}
}

// renewal is how long before its end a certificate should have been renewed.
const renewal = 30 * 24 * time.Hour

func certificateEnd(l *findings, f *Facts) {
	end, err := time.Parse("Jan _2 15:04:05 2006 MST", f.TLSStatus["ssl_server_not_after"])
	if err != nil || !verified(&f.Config) {
		return
	}
	if left := end.Sub(f.Config.Clock()); left < renewal {
		reload := "ALTER INSTANCE RELOAD TLS;"
		if f.mariaDB() {
			reload = "FLUSH SSL;"
		}
		l.warn("TLS", fmt.Sprintf("ends with the server's certificate on %s, in %d days: all logins fail then", end.UTC().Format(time.DateOnly), int(left.Hours()/24)),
			reload+" -- once a new certificate is in the place of the old one")
	}
}

// accountPassword is an account that everybody can use. A certificate may be asked of it.
func accountPassword(l *findings, f *Facts) {
	if f.Config.Password == "" && f.Config.Socket == "" && f.Config.SSLCert == "" && f.Config.TLSConfig == nil {
		l.warn("account "+f.Account, "has no password: whoever reaches the server can use it", "ALTER USER "+f.grantee()+" IDENTIFIED BY 'a new password';")
	}
}

// accountPlugin is a method that the next version of the server has not got.
func accountPlugin(l *findings, f *Facts) {
	if f.Plugin == "mysql_native_password" && !f.mariaDB() {
		l.warn("account "+f.Account, "uses mysql_native_password, which MySQL 9 does not have: it cannot log in after an upgrade",
			"ALTER USER "+f.grantee()+" IDENTIFIED WITH caching_sha2_password BY 'a new password';")
	}
}

func accountExpiry(l *findings, f *Facts) {
	if f.Lifetime > 0 {
		l.warn("account "+f.Account, fmt.Sprintf("has a password that expires %d days after it was set: all logins fail then", f.Lifetime),
			"ALTER USER "+f.grantee()+" PASSWORD EXPIRE NEVER;")
	}
}

// accountPower is an account that is more than an application needs.
func accountPower(l *findings, f *Facts) {
	if len(f.Powers) == 0 {
		return
	}
	l.note("account "+f.Account, "has "+strings.Join(f.Powers, ", ")+": its writes pass on servers that are read-only, and it takes the connection that is kept for administrators",
		"CREATE USER 'sessions'@'%' IDENTIFIED BY 'a new password'; GRANT SELECT, INSERT, UPDATE, DELETE ON "+quoteIdentifier(f.Config.Database)+".* TO 'sessions'@'%';")
}
