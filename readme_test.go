package mysqlsession_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/mysqlsession/mysqlsession"
)

var update = flag.Bool("update", false, "write the README's table of parameters anew")

const (
	tableBegin = "<!-- parameters: written by go test -run TestReadmeHasTheTableOfParameters -update -->\n"
	tableEnd   = "<!-- end of parameters -->\n"
)

func TestReadmeHasTheTableOfParameters(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(readme), tableBegin)
	old, after, closed := strings.Cut(rest, tableEnd)
	if !ok || !closed {
		t.Fatalf("README.md has no place for the table, between\n%s%s", tableBegin, tableEnd)
	}
	table := parameterTable(t)
	if old == table {
		return
	}
	if !*update {
		t.Fatal("the table differs from the code; run this test with -update")
	}
	if err := os.WriteFile("README.md", []byte(before+tableBegin+table+tableEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// parameterTable is the table as Markdown, made from the table of parameters, the
// defaults and the comments of Config's fields.
func parameterTable(t *testing.T) string {
	comments := fieldComments(t)
	defaults := mysqlsession.WithDefaults(Config{})
	var b strings.Builder
	b.WriteString("| parameter | field of `Config` | default | meaning |\n| --- | --- | --- | --- |\n")
	for _, p := range mysqlsession.Parameters() {
		initial := mysqlsession.ParameterText(defaults, p.Name)
		switch value := reflect.ValueOf(p.At(&defaults)).Elem(); {
		case p.Field == "Pool":
			initial = "host:port/database"
		case p.Field == "SSLMode":
			initial = string(mysqlsession.SSLModeDisabled)
		case initial == "" && value.Kind() != reflect.String && value.Kind() != reflect.Slice:
			initial = fmt.Sprint(value)
		}
		if initial != "" {
			initial = "`" + initial + "`"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", p.Name, p.Field, initial, meaning(p.Field, comments[p.Field]))
	}
	for _, field := range inexpressible {
		fmt.Fprintf(&b, "| | `%s` | | %s |\n", field, meaning(field, comments[field]))
	}
	return b.String()
}

// meaning is a field's comment without its name.
func meaning(field, comment string) string {
	text := strings.TrimPrefix(strings.Join(strings.Fields(comment), " "), field+" ")
	for _, verb := range []string{"is ", "are "} {
		text = strings.TrimPrefix(text, verb)
	}
	text = strings.ReplaceAll(strings.ReplaceAll(text, `"": `, "Default: "), "|", `\|`)
	return strings.ToUpper(text[:1]) + text[1:]
}

// fieldComments are the comments of Config's fields.
func fieldComments(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	comments := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != reflect.TypeFor[Config]().Name() {
			return true
		}
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			for _, name := range field.Names {
				comments[name.Name] = field.Doc.Text()
			}
		}
		return false
	})
	return comments
}

func TestEveryFieldOfConfigSaysWhatItDoesAndWhatZeroMeans(t *testing.T) {
	comments := fieldComments(t)
	for i := range reflect.TypeFor[Config]().NumField() {
		field := reflect.TypeFor[Config]().Field(i)
		comment := comments[field.Name]
		if !strings.HasPrefix(comment, field.Name+" ") {
			t.Errorf("%s has no comment that begins with its name", field.Name)
		}
		zero := map[reflect.Kind]string{
			reflect.String: `"":`, reflect.Int: "0:", reflect.Int64: "0:", reflect.Uint16: "0:",
			reflect.Func: "nil:", reflect.Pointer: "nil:", reflect.Slice: "Empty:",
		}[field.Type.Kind()]
		if !strings.Contains(comment, zero) {
			t.Errorf("the comment of %s does not say what %s means", field.Name, strings.TrimSuffix(zero, ":"))
		}
	}
}
