package mysqlsession_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

func TestParseConfigReadsEachPart(t *testing.T) {
	cases := map[string]Config{
		"mysql://":                             {},
		"mysql:///":                            {},
		"mysql://?":                            {},
		"mysql:///app":                         {Database: "app"},
		"mysql://db":                           {Host: "db"},
		"mysql://db/app":                       {Host: "db", Database: "app"},
		"mysql://db:3307/app":                  {Host: "db", Port: 3307, Database: "app"},
		"mysql://:3307/app":                    {Port: 3307, Database: "app"},
		"mysql://db?pool_size=3":               {Host: "db", PoolSize: 3},
		"mysql://user@db/app":                  {Host: "db", Username: "user", Database: "app"},
		"mysql://user:@db/app":                 {Host: "db", Username: "user", Database: "app"},
		"mysql://user:hunter2@db/app":          {Host: "db", Username: "user", Password: "hunter2", Database: "app"},
		"mysql://:hunter2@db":                  {Host: "db", Password: "hunter2"},
		"mysql://@db":                          {Host: "db"},
		"mysql://user:a:b@c@db/app":            {Host: "db", Username: "user", Password: "a:b@c", Database: "app"},
		"mysql://us%3aer:p%40%2F%3f%23+%20@db": {Host: "db", Username: "us:er", Password: "p@/?#+ "},
		"mysql://u%C3%A9@db/gr%C3%B6%C3%9Fe":   {Host: "db", Username: "ué", Database: "größe"},
		"mysql://db/a%2Fb%3Fc":                 {Host: "db", Database: "a/b?c"},
		"mysql://[::1]/app":                    {Host: "::1", Database: "app"},
		"mysql://u@[2001:db8::1]:3307/app":     {Host: "2001:db8::1", Port: 3307, Username: "u", Database: "app"},
		"mysql://[fe80::1%25eth0]:3307":        {Host: "fe80::1%eth0", Port: 3307},
		"mysql://a,b/app":                      {Host: "a", Hosts: []string{"b:3306"}, Database: "app"},
		"mysql://a:1,b:2,[::1]:3,[::2]/app":    {Host: "a", Port: 1, Hosts: []string{"b:2", "[::1]:3", "[::2]:3306"}, Database: "app"},
		"mysql://a,b:2,c?port=5":               {Host: "a", Port: 5, Hosts: []string{"b:2", "c:5"}},
		"mysql:///?hosts=b:2,[::1]:3":          {Hosts: []string{"b:2", "[::1]:3"}},
		"mysql://user@/db?socket=/run/my.sock": {Username: "user", Database: "db", Socket: "/run/my.sock"},
		"mysql:///?host=::1&port=3307&username=u&password=a%3Db%3B+%40&database=d": {
			Host: "::1", Port: 3307, Username: "u", Password: "a=b;+@", Database: "d"},
		"mysql:///?time_zone=+00:00":                     {TimeZone: "+00:00"},
		"mysql:///?time_zone=%2B00%3A00":                 {TimeZone: "+00:00"},
		"mysql:///?connect_timeout=250ms":                {ConnectTimeout: 250 * time.Millisecond},
		"mysql:///?read_timeout=1m30s&send_timeout=-1ns": {ReadTimeout: 90 * time.Second, SendTimeout: -1},
		"mysql:///?pool_size=0&ssl=false":                {},
		"mysql:///?backlog=-1":                           {Backlog: -1},
		"mysql:///?ssl=true&ssl_verify=1":                {SSL: true, SSLVerify: true},
		"mysql:///?ssl_mode=VERIFY_IDENTITY":             {SSLMode: mysqlsession.SSLModeVerifyIdentity},
		"mysql:///?statement_mode=text":                  {StatementMode: mysqlsession.StatementModeText},
	}
	for dsn, want := range cases {
		t.Run(dsn, func(t *testing.T) {
			got, err := mysqlsession.ParseConfig(dsn)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %s\nwant %s", got.ConnString(), want.ConnString())
			}
		})
	}
}

// What errors say.
const (
	badEncoding = "is not percent-encoded correctly"
	mustEncode  = "must be percent-encoded"
	badHost     = "each host must be"
	noValue     = "has no value"
)

// refusedStrings are connection strings, and what the error says. The word hunter2 stands for a
// password, or what runs into the place of one, in every string in which there is one.
var refusedStrings = []struct{ dsn, want string }{
	// Not a connection string of ours.
	{"", "does not begin with mysql://"},
	{"hunter2", "does not begin with mysql://"},
	{"user:hunter2@tcp(db:3306)/app", "does not begin with mysql://"},
	{"postgres://user:hunter2@db/app", "does not begin with mysql://"},
	{" mysql://user:hunter2@db/app", "does not begin with mysql://"},
	{"MYSQL://user:hunter2@db/app", "does not begin with mysql://"},
	// Passwords that were not encoded.
	{"mysql://user:hunter2%@db/app", "password " + badEncoding},
	{"mysql://user:hunter2%zz@db/app", "password " + badEncoding},
	{"mysql://user:hunter2%a@db/app", "password " + badEncoding},
	{"mysql://user:hunter2 @db/app", mustEncode},
	{"mysql://user: hunter2@db/app", mustEncode},
	{"mysql://user:hunter2\n@db/app", mustEncode},
	{"mysql://user:hunter2\x00@db/app", mustEncode},
	{"mysql://user:hunter2\x7f@db/app", mustEncode},
	{"mysql://user:hunter2é@db/app", mustEncode},
	{"mysql://user:hunter2\xff@db/app", mustEncode},
	{"mysql://user:#hunter2@db/app", mustEncode},
	{"mysql://user:1/hunter2@db/app", mustEncode},
	{"mysql://user:1?hunter2@db/app", mustEncode},
	{"mysql://user:1?hunter2=1@db/app", mustEncode},
	{"mysql://user:p@ss/hunter2@db/app", mustEncode},
	{"mysql://user:%00hunter2@db/app", "password is ***, must be without NUL bytes"},
	// A host is missing, so that the password stands where a port should.
	{"mysql://user:hunter2", badHost},
	{"mysql://user:hunter2/app", badHost},
	{"mysql://user:hunter2%40db/app", badHost},
	{"mysql://user%3Ahunter2%40db/app", badHost},
	// Hosts and ports.
	{"mysql://user:hunter2@db:/app", badHost},
	{"mysql://user:hunter2@db:0/app", badHost},
	{"mysql://user:hunter2@db:65536/app", badHost},
	{"mysql://user:hunter2@db:-1/app", badHost},
	{"mysql://user:hunter2@db:x/app", badHost},
	{"mysql://user:hunter2@db:1:2/app", badHost},
	{"mysql://user:hunter2@::1/app", badHost},
	{"mysql://user:hunter2@[::1/app", badHost},
	{"mysql://user:hunter2@::1]/app", badHost},
	{"mysql://user:hunter2@[::1]x/app", badHost},
	{"mysql://user:hunter2@[::1]:x/app", badHost},
	{"mysql://user:hunter2@[db]/app", badHost},
	{"mysql://user:hunter2@[]:1/app", badHost},
	{"mysql://user:hunter2@[::1%25]/app", badHost},
	{"mysql://user:hunter2@a,,b/app", badHost},
	{"mysql://user:hunter2@a,/app", badHost},
	{"mysql://user:hunter2@,b/app", badHost},
	{"mysql://user:hunter2@:1,b/app", badHost},
	{"mysql://user:hunter2@a,:1/app", badHost},
	{"mysql://user:hunter2@a,b:x/app", badHost},
	{"mysql://user:hunter2@d%62/app", badHost},
	{"mysql://user:hunter2@d!b/app", badHost},
	// The rest of the part before the parameters.
	{"mysql://us%er:hunter2@db/app", "username " + badEncoding},
	{"mysql://user:hunter2@db/ap%p", "database " + badEncoding},
	{"mysql://user:hunter2@db/app/", `a "/" in the name of the database ` + mustEncode},
	{"mysql://user:hunter2@db/%00", `database is "\x00", must be UTF-8 without control characters`},
	{"mysql://user:hunter2@db/%ff", `database is "\xff", must be UTF-8 without control characters`},
	// Parameters that there are not.
	{"mysql://user:hunter2@db/app?poolsize=3", "unknown parameter poolsize"},
	{"mysql://user:hunter2@db/app?PoolSize=3", "unknown parameter PoolSize"},
	{"mysql://user:hunter2@db/app?pool%5fsize=3", "unknown parameter whose name is none"},
	{"mysql://user:hunter2@db/app?=3", "unknown parameter whose name is none"},
	{"mysql://user:hunter2@db/app?" + strings.Repeat("x", 41) + "=3", "unknown parameter whose name is none"},
	{"mysql://user:hunter2@db/app?dial_func=x", "unknown parameter dial_func"},
	{"mysql://user:hunter2@db/app?tls_config=x", "unknown parameter tls_config"},
	// Parameters that are given twice.
	{"mysql://user:hunter2@db/app?pool_size=3&pool_size=3", "pool_size is given twice"},
	{"mysql://user:hunter2@db/app?password=hunter2", "password is given twice"},
	{"mysql://user:hunter2@db/app?username=user", "username is given twice"},
	{"mysql://user:hunter2@db/app?host=db", "host is given twice"},
	{"mysql://user:hunter2@db:1/app?port=1", "port is given twice"},
	{"mysql://user:hunter2@db,b/app?hosts=b:1", "hosts is given twice"},
	{"mysql://user:hunter2@db/app?database=app", "database is given twice"},
	{"mysql://db/app?password=1hunter2&password=2hunter2", "password is given twice"},
	// Malformed parameters.
	{"mysql://user:hunter2@db/app?pool_size", "parameter pool_size " + noValue},
	{"mysql://user:hunter2@db/app?pool_size=3&", "parameter whose name is none " + noValue},
	{"mysql://user:hunter2@db/app?&pool_size=3", "parameter whose name is none " + noValue},
	{"mysql://user:hunter2@db/app?pool_size=", "pool_size is empty"},
	{"mysql://db/app?password=", "password is empty"},
	{"mysql://db/app?password=hunter2%", "password " + badEncoding},
	{"mysql://db/app?password=hunter2%zz&pool_size=3", "password " + badEncoding},
	{"mysql://db/app?pool=%x&password=hunter2", "pool " + badEncoding},
	{"mysql://db/app?password=hunter2=", `password: "=" and ";"`},
	{"mysql://db/app?pool_size=3;password=hunter2", `pool_size: "=" and ";"`},
	{"mysql://db/app?charset=ascii,password=hunter2", `charset: "=" and ";"`},
	{"mysql://db/app?pool_size=3,hunter2", "pool_size is not a whole number"},
	{"mysql://db/app?pool_size=3%26password%3Dhunter2", "pool_size is not a whole number"},
	{"mysql://user:hunter2@db/app?pool_size=3.5", "pool_size is not a whole number"},
	{"mysql://user:hunter2@db/app?pool_size=99999999999999999999", "pool_size is not a whole number"},
	{"mysql://user:hunter2@db/app?max_packet_size=1MB", "max_packet_size is not a whole number"},
	{"mysql://user:hunter2@db/app?connect_timeout=5", "connect_timeout is not a duration with its unit"},
	{"mysql://user:hunter2@db/app?connect_timeout=hunter2", "connect_timeout is not a duration with its unit"},
	{"mysql://user:hunter2@db/app?ssl=yes", "ssl is not true or false"},
	{"mysql://user:hunter2@/app?port=0", "port is not a port"},
	{"mysql://user:hunter2@/app?port=65536", "port is not a port"},
	{"mysql://user:hunter2@a,b/app?port=hunter2", "port is not a port"},
	// Rules of Config, under the parameter's name.
	{"mysql://user:hunter2@db/app?pool_size=20000", "pool_size is 20000, must be from 1 to 10000"},
	{"mysql://user:hunter2@db/app?connect_timeout=5ns", "connect_timeout is 5ns, must be from 1ms"},
	{"mysql://user:hunter2@db/app?min_idle_conns=17", "min_idle_conns is 17, must be from 0 to PoolSize"},
	{"mysql://user:hunter2@db/app?table_name=a%60b", "table_name is \"a`b\", must be"},
	{"mysql://user:hunter2@db/app?socket=my.sock", `socket is "my.sock", must be an absolute path`},
	{"mysql://user:hunter2@/app?host=a%2Fb", `host is "a/b", must be a host name`},
	{"mysql://user:hunter2@/app?hosts=a", `hosts is "a", must be "host:port"`},
	{"mysql://user:hunter2@db/app?statement_mode=x", `statement_mode is "x", must be`},
	{"mysql://user:hunter2@db/app?ssl_verify=true", "SSLVerify"},
	{"mysql://user:hunter2@db/app?ssl=true&ssl_mode=disabled", "SSLMode"},
	{"mysql://user:hunter2@db/app?ssl_mode=on", "SSLMode"},
}

func TestParseConfigNamesTheParameterAndNothingSecret(t *testing.T) {
	for _, c := range refusedStrings {
		t.Run(c.dsn, func(t *testing.T) {
			cfg, err := mysqlsession.ParseConfig(c.dsn)
			if !errors.Is(err, mysqlsession.ErrInvalidConfig) {
				t.Fatalf("got %v, want ErrInvalidConfig", err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %s\nwant ...%s...", err, c.want)
			}
			if strings.Contains(err.Error(), "hunter2") || len(c.dsn) > 10 && strings.Contains(err.Error(), c.dsn) {
				t.Errorf("%s shows what it must not", err)
			}
			if !reflect.DeepEqual(cfg, Config{}) {
				t.Error("a Config comes with the error")
			}
		})
	}
}

func TestConnStringIsReadBackAsTheSameConfig(t *testing.T) {
	full := expressible(fullConfig())
	withoutHost := full
	withoutHost.Host = ""
	cases := map[string]Config{
		"zero":           {},
		"full":           full,
		"no first host":  withoutHost,
		"password only":  {Password: "x"},
		"zone":           {Host: "fe80::1%eth0", Hosts: []string{"[fe80::2%eth1]:3306"}},
		"zone, no first": {Hosts: []string{"[fe80::2%eth1]:3306"}},
		"every byte":     {Username: everyByte(), Password: everyByte()},
		"longest":        {Backlog: -1 << 63, CleanupInterval: -1 << 63},
	}
	for name, cfg := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := mysqlsession.ParseConfig(cfg.ConnString())
			if err != nil {
				t.Fatalf("%s: %v", cfg.ConnString(), err)
			}
			if !reflect.DeepEqual(got, cfg) {
				t.Errorf("got  %s\nwant %s", got.ConnString(), cfg.ConnString())
			}
		})
	}
}

// everyByte is every byte but NUL.
func everyByte() string {
	var b []byte
	for c := 1; c <= 255; c++ {
		b = append(b, byte(c))
	}
	return string(b)
}

// inexpressible are the fields of Config that a string cannot hold.
var inexpressible = []string{"DialFunc", "TLSConfig", "BeforeConnect", "AfterConnect", "Clock", "Logger", "Trace"}

// expressible is cfg without them.
func expressible(cfg Config) Config {
	for _, name := range inexpressible {
		reflect.ValueOf(&cfg).Elem().FieldByName(name).SetZero()
	}
	return cfg
}

func TestEveryFieldIsAParameterOrKnownToBeNone(t *testing.T) {
	var cfg Config
	fields := reflect.ValueOf(&cfg).Elem()
	rows := map[string]mysqlsession.Parameter{}
	names := map[string]bool{}
	for _, p := range mysqlsession.Parameters() {
		if _, twice := rows[p.Field]; twice || names[p.Name] {
			t.Errorf("%s or %s is in the table twice", p.Field, p.Name)
		}
		rows[p.Field], names[p.Name] = p, true
	}
	for i := range fields.NumField() {
		name := fields.Type().Field(i).Name
		p, found := rows[name]
		if none := slices.Contains(inexpressible, name); found == none {
			t.Errorf("%s: in the table %t, without a parameter %t", name, found, none)
		}
		if !found {
			continue
		}
		if p.At(&cfg) != fields.Field(i).Addr().Interface() {
			t.Errorf("the row %s points to another field than %s", p.Name, name)
		}
		if got := strings.ReplaceAll(p.Name, "_", ""); got != strings.ToLower(name) {
			t.Errorf("the parameter of %s is called %s", name, p.Name)
		}
		delete(rows, name)
	}
	for field := range rows {
		t.Errorf("%s is no field", field)
	}
}

func TestEveryFieldOfTheOriginalIsAParameter(t *testing.T) {
	var names []string
	for _, p := range mysqlsession.Parameters() {
		names = append(names, p.Name)
	}
	original := strings.Fields("host port socket username password charset database table_name table_name_meta max_packet_size " +
		"connect_timeout send_timeout read_timeout keepalive_timeout pool pool_size backlog ssl ssl_verify")
	if !slices.Equal(names[:len(original)], original) {
		t.Errorf("got %v, want %v", names[:len(original)], original)
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, dsn := range []string{
		"mysql://user:hunter2@db:3307,b:3308/app?pool_size=30&read_timeout=250ms",
		"mysql://us%3Aer:p%40ss@[fe80::1%25eth0]:3306/a%2Fb?time_zone=+00:00&ssl=true&ssl_verify=true",
		"mysql:///?host=::1&port=1&hosts=b:2&username=u&password=p&database=d",
		"mysql://user@/db?socket=/run/my.sock&statement_mode=TEXT&charset=utf8mb4",
		"mysql://user:p@ss/hunter2@db", "mysql://u:%zz@db", "mysql://a,,b", "mysql://[::1", "mysql://?=&", "mysql://:1,:2",
		fullConfig().ConnString(),
	} {
		f.Add(dsn)
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		cfg, err := mysqlsession.ParseConfig(dsn)
		if err != nil {
			if !errors.Is(err, mysqlsession.ErrInvalidConfig) {
				t.Fatalf("%v is not ErrInvalidConfig", err)
			}
			return
		}
		text := cfg.ConnString()
		again, err := mysqlsession.ParseConfig(text)
		if err != nil {
			t.Fatalf("%q became %q: %v", dsn, text, err)
		}
		if !reflect.DeepEqual(again, cfg) || again.ConnString() != text {
			t.Fatalf("%q became %q became %q", dsn, text, again.ConnString())
		}
		if err := mysqlsession.Validate(cfg); err != nil {
			t.Fatalf("%q is not valid: %v", dsn, err)
		}
	})
}

// FuzzPasswordStaysSecret puts a password with a mark in it, encoded or not, where one
// goes in strings that are otherwise anything, and looks for the mark in errors and in
// what is printed. Nothing else has the mark, so finding it is no coincidence: a user's
// name, which an error may quote, once was the same four spaces as the password.
func FuzzPasswordStaysSecret(f *testing.F) {
	const mark = "q7Zk3Vx9"
	f.Add("user", "", "", "db:3306/app?pool_size=3")
	f.Add("user", "hunter2/", "", "db/app")
	f.Add("user", "", "/hunter2", "db/app")
	f.Add("user", "1?", "=1", "db/app")
	f.Add("user", "", "%zz", "db/app")
	f.Add("user", "1#", "", "db/app")
	f.Add("us:er", "", " @", "db:x/app")
	f.Add("user", "12345/", "", "db:99999/app?x")
	f.Add("user", "a&charset=", "", "db?charset=%20&x=1")
	f.Add("\x00    ", "    ", "", "0")
	f.Add("", "&", "0", "0")
	f.Add("", "hunter2&", "=1", "0")
	f.Fuzz(func(t *testing.T, user, before, after, rest string) {
		if strings.Contains(user+rest, mark) {
			return
		}
		password := before + mark + after
		texts := []string{
			"mysql://" + user + ":" + password + "@" + rest,
			Config{Username: user, Password: password}.ConnString() + rest,
		}
		// With a "=" before it the mark is the value of another parameter.
		if !strings.Contains(before, "=") {
			texts = append(texts, "mysql:///"+rest+"?password="+password)
		}
		for _, dsn := range texts {
			if shows(dsn, password, mark) {
				t.Errorf("%q shows the password", dsn)
			}
		}
	})
}

// shows reports whether an error, or the printed Config that has the password, has the
// mark in it.
func shows(dsn, password, mark string) bool {
	cfg, err := mysqlsession.ParseConfig(dsn)
	if err != nil {
		return strings.Contains(err.Error(), mark)
	}
	return cfg.Password == password && strings.Contains(fmt.Sprintf("%+v", cfg), mark)
}
