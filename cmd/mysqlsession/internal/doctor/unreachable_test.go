package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

func TestWhyAServerCannotBeUsedIsTold(t *testing.T) {
	refusal := func(code uint16) error {
		return fmt.Errorf("mysqlsession: connect to db.example:3306: %w", &mysqlsession.ServerError{Code: code, SQLState: "HY000", Message: "the server's own words"})
	}
	for want, err := range map[string]error{
		"cannot be reached: there is no way to it":                       &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH},
		"cannot be reached: this user may not open it":                   &net.OpError{Op: "dial", Err: fs.ErrPermission},
		"does not answer within ConnectTimeout, 5s":                      context.DeadlineExceeded,
		"has no TLS, which the configuration asks for":                   mysqlsession.ErrTLSUnavailable,
		"wants a login that is not safe without TLS":                     mysqlsession.ErrKeyRetrieval,
		"has a certificate for another name than db.example":             x509.HostnameError{Host: "db.example"},
		"has a certificate of an authority that is not known here":       x509.UnknownAuthorityError{},
		"has a certificate that has expired, or is not valid yet":        x509.CertificateInvalidError{Reason: x509.Expired},
		"denies the login of user 'o''neil': the password is wrong":      refusal(1698),
		"lets nobody in from this machine":                               refusal(1130),
		"has an account that logs in by a method which is not supported": refusal(1524),
		"gives the account no further connection":                        refusal(1226),
		"has shut this machine out after failed connections":             refusal(1129),
		"is shutting down":                                           refusal(1053),
		"is a node of Galera that is not ready":                      refusal(1047),
		"is in offline mode":                                         refusal(3032),
		"cannot be used: server error 9999 (SQLSTATE HY000)":         refusal(9999),
		"cannot be used: protocol violation":                         mysqlsession.ErrProtocol,
		"was lost while it was looked at: context deadline exceeded": &brokenOffError{context.DeadlineExceeded},
		"was lost while it was looked at: query: server shutting down (server error 1053, SQLSTATE": &brokenOffError{fmt.Errorf("mysqlsession: query: %w", &mysqlsession.ServerError{Code: 1053, SQLState: "08S01"})},
	} {
		cfg := mysqlsession.Config{Host: "db.example", Username: "o'neil", Password: "s3cret-word", Database: "shop"}.WithDefaults()
		found := unreachable(&cfg, "db.example:3306", err)
		require.Equal(t, mysqlsession.SeverityError, found.Severity)
		require.Equal(t, "db.example:3306", found.Subject)
		require.Contains(t, found.Problem, want)
		require.NotEmpty(t, found.Fix, want)
		require.NotContains(t, fmt.Sprint(found), "own words")
		require.NotContains(t, fmt.Sprint(found), "s3cret-word")
	}
	require.NoError(t, fatalError(t.Context(), errors.New("another")))
	require.ErrorIs(t, fatalError(t.Context(), fmt.Errorf("%w: x", mysqlsession.ErrInvalidConfig)), mysqlsession.ErrInvalidConfig)
}
