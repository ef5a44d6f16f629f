package pagetest_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/pagetest"
)

// failures is a test that may fail, and how often it has.
type failures struct {
	testing.TB
	list []string
}

func (f *failures) Helper()                {}
func (f *failures) Error(arguments ...any) { f.list = append(f.list, fmt.Sprint(arguments...)) }
func (f *failures) Errorf(format string, rest ...any) {
	f.list = append(f.list, fmt.Sprintf(format, rest...))
}

// readme checks a module's README whose blocks are separated by empty lines, and are
// preceded by their languages.
func readme(t *testing.T, blocks ...string) (*failures, int) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"go.mod":          "module example.org/module\n\ngo 1.26.0\n",
		"example_test.go": "package module\n\nfunc whole() {\n\tone()\n\n\tif two() {\n\t\tthree()\n\t}\n}\n",
		"README.md":       "# module\n\n```" + strings.Join(blocks, "```\n\ntext\n\n```") + "```\n",
	} {
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	}
	f := &failures{TB: t}
	return f, pagetest.Readme(f, []string{"make it"}, "sql")
}

const (
	code = "go\none()\n\nif two() {\n\tthree()\n}\n"
	get  = "sh\ngo get example.org/module\n"
)

func TestAReadmeThatTellsTheTruthPasses(t *testing.T) {
	f, count := readme(t, get, code, "sql\nSELECT 1\n", "sh\nmake it\n", "go\nfunc whole() {\n\tone()\n")
	require.Empty(t, f.list)
	require.Equal(t, 2, count)
	require.Equal(t, []pagetest.Block{{Language: "sql", Text: "SELECT 1\n"}}, pagetest.Blocks(t, "README.md", "sql"))
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	require.NotContains(t, pagetest.WithoutBlocks(string(text)), "one")
}

func TestAReadmeThatTellsSomethingElseFails(t *testing.T) {
	for name, blocks := range map[string][]string{
		"other code":           {get, code, "go\nfour()\n"},
		"half a line":          {get, code, "go\ntwo() {\n"},
		"deeper in a function": {get, code, "go\nthree()\n"},
		"another module":       {get, code, "sh\ngo get example.org/other\n"},
		"one command more":     {get, code, "sh\nmake it\nmake more\n"},
		"another language":     {get, code, "yaml\na: b\n"},
		"no language":          {get, code, "\na: b\n"},
		"no code":              {get},
		"no command":           {code},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := readme(t, blocks...)
			require.Len(t, f.list, 1)
		})
	}
}
