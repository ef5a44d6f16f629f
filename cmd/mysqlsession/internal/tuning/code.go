package tuning

import (
	"fmt"
	"go/format"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

// passwordCode is where the password comes from in the code: not out of it.
const passwordCode = `os.Getenv("MYSQLSESSION_PASSWORD")`

// GoCode is the recommendation as a composite literal, with every field that is set.
func (r *Result) GoCode() (string, error) {
	if !r.Met {
		return "", errNoResult
	}
	return goCode(r.Config)
}

func goCode(cfg mysqlsession.Config) (string, error) {
	var b strings.Builder
	b.WriteString("cfg := mysqlsession.Config{\n")
	value := reflect.ValueOf(cfg)
	for i := range value.NumField() {
		field, set := value.Type().Field(i).Name, value.Field(i)
		if set.IsZero() {
			continue
		}
		if field == "Password" {
			fmt.Fprintf(&b, "%s: %s,\n", field, passwordCode)
			continue
		}
		if code, ok := literal(set); ok {
			fmt.Fprintf(&b, "%s: %s,\n", field, code)
		}
	}
	b.WriteString("}\n")
	code, err := format.Source([]byte(b.String()))
	return string(code), err
}

// literal is a field's value as code. What a connection string cannot hold has none.
func literal(value reflect.Value) (string, bool) {
	if d, ok := value.Interface().(time.Duration); ok {
		return durationCode(d), true
	}
	switch value.Kind() {
	case reflect.String:
		return strconv.Quote(value.String()), true
	case reflect.Bool:
		return strconv.FormatBool(value.Bool()), true
	case reflect.Int:
		return strconv.FormatInt(value.Int(), 10), true
	case reflect.Uint16:
		return strconv.FormatUint(value.Uint(), 10), true
	case reflect.Slice:
		if texts, ok := value.Interface().([]string); ok {
			return fmt.Sprintf("%#v", texts), true
		}
	}
	return "", false
}

// durationCode writes a duration in the largest unit that it is a multiple of.
func durationCode(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{time.Hour, "time.Hour"}, {time.Minute, "time.Minute"}, {time.Second, "time.Second"}, {time.Millisecond, "time.Millisecond"}} {
		if d%unit.size == 0 {
			if d == unit.size {
				return unit.name
			}
			return fmt.Sprintf("%d * %s", d/unit.size, unit.name)
		}
	}
	return strconv.FormatInt(int64(d), 10)
}

// DSN is the recommendation as a connection string, without the password.
func (r *Result) DSN() (string, error) {
	if !r.Met {
		return "", errNoResult
	}
	cfg := r.Config
	cfg.Password = ""
	return cfg.ConnString(), nil
}
