package mysqlsession_test

import (
	"errors"
	"expvar"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

var codeBlock = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// readmeBlocks are the README's code blocks in a language.
func readmeBlocks(t *testing.T, language string) []string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	var blocks []string
	for _, match := range codeBlock.FindAllStringSubmatch(string(readme), -1) {
		if match[1] == language {
			blocks = append(blocks, match[2])
		}
	}
	return blocks
}

func TestTheReadmesCodeBlocksAreOfKindsThatAreTested(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, match := range codeBlock.FindAllStringSubmatch(string(readme), -1) {
		assert.Contains(t, []string{"go", "sh", "sql", "text"}, match[1], "block:\n%s", match[2])
	}
}

func TestTheReadmesGoCodeIsThatOfTheExamplesWhichAreCompiledAndRun(t *testing.T) {
	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	blocks := readmeBlocks(t, "go")
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		var indented strings.Builder
		for line := range strings.Lines(block) {
			if strings.TrimSpace(line) != "" {
				indented.WriteByte('\t')
			}
			indented.WriteString(line)
		}
		assert.Contains(t, string(source), indented.String())
	}
}

func TestTheReadmesShellCommandsAreTargetsOfTheMakefile(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	require.NoError(t, err)
	for _, block := range readmeBlocks(t, "sh") {
		for line := range strings.Lines(block) {
			command, _, _ := strings.Cut(strings.TrimSpace(line), " #")
			switch words := strings.Fields(command); {
			case len(words) == 2 && words[0] == "make":
				assert.Contains(t, string(makefile), "\n"+words[1]+":", line)
			default:
				assert.Contains(t, []string{"go get github.com/mysqlsession/mysqlsession", "go run ./cmd/mysqlsession demo"}, strings.TrimSpace(command))
			}
		}
	}
}

func TestTheReadmeHasEveryFieldOfConfigAndEveryOperation(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	fields := reflect.TypeFor[mysqlsession.Config]()
	for i := range fields.NumField() {
		assert.Contains(t, string(readme), "`"+fields.Field(i).Name+"`")
	}
	store := reflect.TypeFor[*mysqlsession.Store]()
	for i := range store.NumMethod() {
		if name := store.Method(i).Name; name != "Pool" && name != "Close" {
			assert.Contains(t, string(readme), "Store."+name)
		}
	}
}

func TestTheReadmesTablesAreWhatTheStoreWorksOn(t *testing.T) {
	blocks := readmeBlocks(t, "sql")
	require.NotEmpty(t, blocks)
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		admin := server.AdminIn(t, cfg.Database)
		for _, block := range blocks {
			for statement := range strings.SplitSeq(block, ";") {
				if strings.TrimSpace(statement) != "" {
					execute(t, admin, statement)
				}
			}
		}
		store := openStore(t, cfg)
		findings, err := store.Check(t.Context())
		require.NoError(t, err)
		assert.Empty(t, findings)
	})
}

func TestTheReadmesExamplesRun(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		t.Setenv("MYSQLSESSION_DSN", cfg.ConnString())
		require.NoError(t, openAStore(t.Context()))
		store := openStore(t, cfg)
		require.NoError(t, useAStore(t.Context(), store, newKey(), newKey()))
		require.NoError(t, useThePool(t.Context(), store.Pool()))
		require.NoError(t, showAPool(t.Context(), cfg, http.NewServeMux()))
		closed := new(expvar.Map)
		require.NoError(t, watchAStore(t.Context(), cfg, slog.New(slog.DiscardHandler), closed))
		require.NotNil(t, closed.Get(string(mysqlsession.DisconnectPoolClosed)))
	})
	for err, status := range map[error]int{
		mysqlsession.ErrNotFound:    http.StatusUnauthorized,
		mysqlsession.ErrBacklogFull: http.StatusServiceUnavailable,
		errors.New("another"):       http.StatusInternalServerError,
	} {
		recorder := httptest.NewRecorder()
		answerErrors(recorder, err)
		assert.Equal(t, status, recorder.Code)
	}
}

func TestEveryTestThatSECURITYNamesExists(t *testing.T) {
	text, err := os.ReadFile("SECURITY.md")
	require.NoError(t, err)
	named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, named)
	there := map[string]bool{}
	for _, pattern := range []string{"*_test.go", "internal/*/*_test.go", "debug/*_test.go", "cmd/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, match := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(string(source), -1) {
				there[match[1]] = true
			}
		}
	}
	for _, match := range named {
		require.True(t, there[match[1]], "SECURITY.md names %s", match[1])
	}
}
