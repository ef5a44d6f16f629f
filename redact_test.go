package mysqlsession_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"text/template"

	"github.com/mysqlsession/mysqlsession"
)

const (
	secretPassword = "hunter2&co"
	secretKey      = "key-of-hunter2"
)

// privateKey stands for a key of TLSConfig, which reflection would print.
type privateKey string

func TestNothingThatPrintsAConfigShowsItsSecrets(t *testing.T) {
	cfg := fullConfig()
	cfg.Password = secretPassword
	cfg.TLSConfig = &tls.Config{Certificates: []tls.Certificate{{PrivateKey: privateKey(secretKey)}}}
	type holder struct {
		Config  Config
		Pointer *Config
	}
	held := holder{cfg, &cfg}

	printed := map[string]string{
		"Sprint":     fmt.Sprint(cfg),
		"Sprintln":   fmt.Sprintln(cfg, &cfg),
		"Errorf":     fmt.Errorf("open %v: %+v", cfg, &cfg).Error(),
		"String":     cfg.String(),
		"GoString":   cfg.GoString(),
		"text":       text(t, cfg.MarshalText),
		"JSON":       text(t, func() ([]byte, error) { return json.Marshal(cfg) }),
		"JSON of &":  text(t, func() ([]byte, error) { return json.MarshalIndent(&cfg, "", " ") }),
		"JSON held":  text(t, func() ([]byte, error) { return json.Marshal(held) }),
		"XML":        text(t, func() ([]byte, error) { return xml.Marshal(cfg) }),
		"XML held":   text(t, func() ([]byte, error) { return xml.Marshal(held) }),
		"LogValue":   cfg.LogValue().String(),
		"log":        logged(func(b *bytes.Buffer) { log.New(b, "", 0).Print(cfg, held) }),
		"template":   logged(func(b *bytes.Buffer) { _ = template.Must(template.New("").Parse("{{.}}")).Execute(b, cfg) }),
		"slog text":  logged(func(b *bytes.Buffer) { slog.New(slog.NewTextHandler(b, nil)).Info("x", "config", cfg, "held", held) }),
		"slog JSON":  logged(func(b *bytes.Buffer) { slog.New(slog.NewJSONHandler(b, nil)).Info("x", "config", &cfg, "held", held) }),
		"slog Group": logged(func(b *bytes.Buffer) { slog.New(slog.NewTextHandler(b, nil)).WithGroup("g").With("c", cfg).Info("x") }),
	}
	// Not %p: fmt asks no type about it, and vet refuses it for what is no pointer.
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%t", "%200v", "%.3v", "%z"} {
		printed[verb] = fmt.Sprintf(verb, cfg)
		printed[verb+" of &"] = fmt.Sprintf(verb, &cfg)
		printed[verb+" held"] = fmt.Sprintf(verb, held)
		printed[verb+" of a list"] = fmt.Sprintf(verb, []Config{cfg})
		printed[verb+" of a map"] = fmt.Sprintf(verb, map[string]any{"a": cfg})
	}
	for name, text := range printed {
		t.Run(name, func(t *testing.T) {
			for _, secret := range []string{secretPassword, secretKey} {
				for _, spelling := range spellings(secret) {
					if strings.Contains(strings.ToLower(text), strings.ToLower(spelling)) {
						t.Errorf("shows %s: %s", spelling, text)
					}
				}
			}
			if text == "" {
				t.Error("shows nothing at all")
			}
		})
	}
}

// spellings are the forms in which text may hide in what is printed.
func spellings(secret string) []string {
	quoted, _ := json.Marshal(secret)
	spaced := fmt.Sprintf("% x", secret)
	return []string{
		secret, strings.Trim(string(quoted), `"`), hex.EncodeToString([]byte(secret)), spaced,
		base64.StdEncoding.EncodeToString([]byte(secret)), strings.ReplaceAll(secret, "&", "%26"), strings.ReplaceAll(secret, "&", "&amp;"),
		strings.Trim(fmt.Sprint([]byte(secret)), "[]"),
	}
}

func text(t *testing.T, marshal func() ([]byte, error)) string {
	t.Helper()
	b, err := marshal()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func logged(write func(*bytes.Buffer)) string {
	var b bytes.Buffer
	write(&b)
	return b.String()
}

func TestPrintedConfigSaysWhereAndWithWhat(t *testing.T) {
	cfg := Config{Host: "db", Port: 3307, Username: "app", Password: secretPassword, Database: "web", PoolSize: 30}
	if got, want := cfg.String(), "mysql://app:***@db:3307/web?pool_size=30"; got != want {
		t.Errorf("String: got %s, want %s", got, want)
	}
	got := text(t, cfg.MarshalJSON)
	if want := `{"database":"web","host":"db","password":"***","pool_size":30,"port":3307,"username":"app"}`; got != want {
		t.Errorf("MarshalJSON: got %s, want %s", got, want)
	}
	line := logged(func(b *bytes.Buffer) {
		slog.New(slog.NewTextHandler(b, nil)).Info("open", "config", cfg)
	})
	if want := "config.host=db config.port=3307 config.username=app config.password=*** config.database=web config.pool_size=30\n"; !strings.HasSuffix(line, want) {
		t.Errorf("slog: got %s, want it to end in %s", line, want)
	}
}

// fmt prints what is in a value, unexported fields of unexported types too, up to the
// first pointer.
func TestNoTypeHoldsAConfigWhereFmtPrintsIt(t *testing.T) {
	for _, kind := range []reflect.Type{
		reflect.TypeFor[mysqlsession.Conn](), reflect.TypeFor[mysqlsession.Pool](),
		reflect.TypeFor[mysqlsession.PoolConn](), reflect.TypeFor[mysqlsession.Store](),
	} {
		if holdsConfig(kind) {
			t.Errorf("%s: %%+v of one prints the password", kind)
		}
	}
}

func holdsConfig(kind reflect.Type) bool {
	switch kind.Kind() {
	case reflect.Struct:
		for i := range kind.NumField() {
			if holdsConfig(kind.Field(i).Type) {
				return true
			}
		}
	case reflect.Array, reflect.Slice, reflect.Map:
		return holdsConfig(kind.Elem())
	}
	return kind == reflect.TypeFor[Config]()
}

func TestPrintedConfigWithoutPasswordShowsNoMask(t *testing.T) {
	cfg := Config{Host: "db", Username: "app"}
	for _, got := range []string{cfg.String(), text(t, cfg.MarshalJSON), cfg.LogValue().String()} {
		if strings.Contains(got, "*") || strings.Contains(got, "password") {
			t.Errorf("got %s", got)
		}
	}
}
