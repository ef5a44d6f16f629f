package mysqlsession_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"github.com/mysqlsession/mysqlsession"
)

// The pages in docs show these functions, or what is between their braces. pages_test.go sees
// that they do, and runs them.

func signOutAtTheGateway(ctx context.Context, store *mysqlsession.Store) error {
	audience := base64.RawURLEncoding.EncodeToString([]byte("default"))
	subject := base64.RawURLEncoding.EncodeToString([]byte("alice"))

	sessions, err := store.ReadMetadata(ctx, "session", audience, subject)
	if err != nil {
		return err
	}
	fmt.Println("signed in", len(sessions), "times")

	_, err = store.DeleteSubject(ctx, "session", audience, subject)
	return err
}

func hashedSubject(subject string) string {
	sum := sha256.Sum256([]byte(subject))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func openWithSQL(ctx context.Context) error {
	db, err := sql.Open("mysql", "shop:secret@tcp(db1:3306)/shop?tls=true&timeout=5s&readTimeout=5s&writeTimeout=5s")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(30)
	db.SetMaxIdleConns(30)
	db.SetConnMaxIdleTime(time.Minute)
	db.SetConnMaxLifetime(30 * time.Minute)
	return db.PingContext(ctx)
}

func openInItsPlace(ctx context.Context) error {
	cfg, err := mysqlsession.ParseConfig("mysql://shop:secret@db1:3306/shop?ssl=true&ssl_verify=true")
	if err != nil {
		return err
	}
	cfg.PoolSize = 30

	store, err := mysqlsession.Open(ctx, cfg) // it has opened a connection, or says why not
	if err != nil {
		return err
	}
	return store.Close()
}

func loadWithSQL(ctx context.Context, db *sql.DB, id string) (data []byte, found bool, err error) {
	err = db.QueryRowContext(ctx, "SELECT data FROM sessions WHERE sid = ? AND exp >= NOW()", id).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	return data, err == nil, err
}

func loadSession(ctx context.Context, store *mysqlsession.Store, id string) (data []byte, found bool, err error) {
	data, err = store.Get(ctx, "session", id)
	if errors.Is(err, mysqlsession.ErrNotFound) {
		return nil, false, nil
	}
	return data, err == nil, err
}
