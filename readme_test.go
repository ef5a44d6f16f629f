package mysqlsession_test

import (
	"errors"
	"expvar"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/pagetest"
)

var (
	pageLink = regexp.MustCompile(`\]\(([^)\s]+)\)|(?:src|srcset)="([^"]+)"`)
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// workingCommands are those of shell blocks besides the Makefile's targets.
var workingCommands = []string{
	"go get github.com/mysqlsession/mysqlsession", "go run ./cmd/mysqlsession demo",
}

// pages are the texts for people: those at the root, the README first, and those in docs.
func pages(t *testing.T) []string {
	t.Helper()
	list := []string{"README.md"}
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		names, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, name := range names {
			if name != list[0] && !strings.HasSuffix(name, ".part.md") {
				list = append(list, filepath.ToSlash(name))
			}
		}
	}
	return list
}

func TestThePagesCodeBlocksAreOfKindsThatAreTested(t *testing.T) {
	for _, page := range pages(t) {
		for _, block := range pagetest.Blocks(t, page) {
			assert.Contains(t, []string{"go", "sh", "sql", "text"}, block.Language, "block of %s:\n%s", page, block.Text)
		}
	}
}

func TestThePagesGoCodeIsThatOfTheExamplesWhichAreCompiledAndRun(t *testing.T) {
	var examples []string
	for _, pattern := range []string{"example_*test.go", "*/example_test.go", "*/*/example_test.go"} {
		names, err := filepath.Glob(pattern)
		require.NoError(t, err)
		examples = append(examples, names...)
	}
	for _, page := range pages(t) {
		count := pagetest.GoIsThatOf(t, page, examples...)
		assert.True(t, count > 0 || page != "README.md", "it has no code")
	}
}

func TestThePagesShellCommandsWork(t *testing.T) {
	makefile := readText(t, "Makefile")
	for _, page := range pages(t) {
		for _, block := range pagetest.Blocks(t, page, "sh") {
			for line := range strings.Lines(block.Text) {
				command, _, _ := strings.Cut(strings.TrimSpace(line), " #")
				command = strings.TrimSpace(command)
				words := strings.Fields(command)
				switch {
				case len(words) == 0:
				case words[0] == "make":
					assert.True(t, strings.Contains(makefile, "\n"+words[1]+":"), "%s: %s", page, line)
				case words[0] == ".ci/run":
					for _, stage := range words[1:] {
						assert.True(t, strings.Contains(readText(t, ".ci/run"), "\nstage_"+stage+"()"), "%s: %s", page, line)
					}
				default:
					assert.Contains(t, workingCommands, command, page)
				}
			}
		}
	}
}

func TestThePagesLinksLeadSomewhere(t *testing.T) {
	list := pages(t)
	for _, pattern := range []string{"*/README.md", "*/*/README.md"} { // whose code their own tests look at
		names, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, names)
		list = append(list, names...)
	}
	for _, page := range list {
		text := pagetest.WithoutBlocks(readText(t, page))
		for _, match := range pageLink.FindAllStringSubmatch(text, -1) {
			target := match[1] + match[2]
			if strings.HasPrefix(target, "https://") {
				continue
			}
			name, anchor, _ := strings.Cut(target, "#")
			file := path.Join(path.Dir(page), name)
			if name == "" {
				file = page
			}
			info, err := os.Stat(file)
			if assert.NoError(t, err, "%s leads to %s", page, target) && !info.IsDir() && anchor != "" {
				assert.Contains(t, anchors(readText(t, file)), anchor, "%s leads to %s", page, target)
			}
		}
	}
}

// anchors are what the headings of a page are called in links, as forges do it.
func anchors(text string) (list []string) {
	for _, match := range heading.FindAllStringSubmatch(pagetest.WithoutBlocks(text), -1) {
		name := regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(match[1]), "")
		list = append(list, strings.ReplaceAll(name, " ", "-"))
	}
	return list
}

func TestThePagesHaveEveryFieldOfConfigAndEveryOperation(t *testing.T) {
	var all strings.Builder
	for _, page := range pages(t) {
		if page == "README.md" || strings.HasPrefix(page, "docs/") {
			all.WriteString(readText(t, page))
		}
	}
	configuration := readText(t, "docs/configuration.md")
	fields := reflect.TypeFor[mysqlsession.Config]()
	for i := range fields.NumField() {
		assert.True(t, strings.Contains(configuration, "`"+fields.Field(i).Name+"`"), "docs/configuration.md has no %s", fields.Field(i).Name)
	}
	for _, parameter := range mysqlsession.Parameters() {
		assert.True(t, strings.Contains(configuration, "`"+parameter.Name+"`"), "docs/configuration.md has no %s", parameter.Name)
	}
	store := reflect.TypeFor[*mysqlsession.Store]()
	for i := range store.NumMethod() {
		if name := store.Method(i).Name; name != "Pool" && name != "Close" {
			assert.True(t, strings.Contains(all.String(), "Store."+name), "no page has Store.%s", name)
		}
	}
}

func TestThePagesTablesAreWhatTheStoreWorksOn(t *testing.T) {
	tables := append(pagetest.Blocks(t, "README.md", "sql"), pagetest.Blocks(t, "docs/from-lua-resty-session.md", "sql")...)
	require.NotEmpty(t, tables)
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		for _, block := range tables {
			cfg := server.NewDatabase(t)
			runAll(t, server.AdminIn(t, cfg.Database), block.Text)
			store := openStore(t, cfg)
			findings, err := store.Check(t.Context())
			require.NoError(t, err)
			assert.Empty(t, findings)
		}
	})
}

func TestTheReadmesExamplesRun(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		t.Setenv("MYSQLSESSION_DSN", cfg.ConnString())
		require.NoError(t, openAStore(t.Context()))
		store := openStore(t, cfg)
		require.NoError(t, useAStore(t.Context(), store, newKey(), newKey()))
		require.NoError(t, limitDevices(t.Context(), store, newKey(), newKey()))
		chosen := newKey()
		require.NoError(t, limitDevices(t.Context(), store, newKey(), chosen))
		require.NoError(t, showDevices(t.Context(), store, newKey(), chosen))
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
