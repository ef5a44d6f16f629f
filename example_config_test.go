package mysqlsession_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

// Most of a configuration fits into a connection string.
func ExampleParseConfig() {
	cfg, err := mysqlsession.ParseConfig("mysql://shop:secret@db1:3306,db2:3306/shop?pool_size=30&connect_timeout=2s&ssl=true&ssl_verify=true")
	fmt.Println(cfg.Host, cfg.Hosts, cfg.Database, cfg.PoolSize, cfg.ConnectTimeout, cfg.SSL, err)

	_, err = mysqlsession.ParseConfig("mysql://shop:secret@db1/shop?pool_sise=30")
	fmt.Println(errors.Is(err, mysqlsession.ErrInvalidConfig), err)
	// Output:
	// db1 [db2:3306] shop 30 2s true <nil>
	// true mysqlsession: invalid configuration: connection string: unknown parameter pool_sise
}

// What ParseConfig reads again, with the password: not for showing.
func ExampleConfig_ConnString() {
	cfg := mysqlsession.Config{Username: "shop", Password: "s3cret!", Host: "db1", Database: "shop", PoolSize: 30}
	fmt.Println(cfg.ConnString())
	// Output: mysql://shop:s3cret%21@db1/shop?pool_size=30
}

// For showing. However a Config is printed, by fmt, by log/slog or as JSON, its password is
// masked.
func ExampleConfig_String() {
	cfg := mysqlsession.Config{Username: "shop", Password: "s3cret!", Host: "db1", Database: "shop"}
	fmt.Println(cfg.String())
	fmt.Printf("%+v\n", cfg)
	// Output:
	// mysql://shop:***@db1/shop
	// mysql://shop:***@db1/shop
}

// What is used where a field was left at zero.
func ExampleConfig_WithDefaults() {
	cfg := mysqlsession.Config{Database: "shop", ConnectTimeout: 2 * time.Second}.WithDefaults()
	fmt.Println(cfg.Host, cfg.Port, cfg.TableName, cfg.PoolSize, cfg.ConnectTimeout, cfg.ReadTimeout)
	// Output: 127.0.0.1 3306 sessions 16 2s 5s
}
