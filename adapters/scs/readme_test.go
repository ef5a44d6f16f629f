package scsstore_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	scsstore "github.com/mysqlsession/mysqlsession/adapters/scs"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

var codeBlock = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// blocks are the README's code blocks in a language.
func blocks(t *testing.T, language string) (texts []string) {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, match := range codeBlock.FindAllStringSubmatch(string(readme), -1) {
		assert.Contains(t, []string{"go", "sh", "sql"}, match[1])
		if match[1] == language {
			texts = append(texts, match[2])
		}
	}
	require.NotEmpty(t, texts)
	return texts
}

func TestTheReadmesGoCodeIsThatOfTheExamplesWhichAreCompiledAndRun(t *testing.T) {
	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	for _, block := range blocks(t, "go") {
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

func TestTheReadmesCommandGetsThisModule(t *testing.T) {
	module, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	for _, block := range blocks(t, "sh") {
		path, found := strings.CutPrefix(strings.TrimSpace(block), "go get ")
		require.True(t, found, block)
		assert.Contains(t, string(module), "module "+path+"\n")
	}
}

func TestTheReadmeHasEveryOption(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	options := reflect.TypeFor[scsstore.Options]()
	for i := range options.NumField() {
		assert.Contains(t, string(readme), "| `"+options.Field(i).Name+"` |")
	}
}

func TestTheReadmesExampleSignsAUserOutEverywhere(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store := open(t, server.NewDatabase(t))
		manager := newSessionsByUser(store)
		one, other := saved(t, manager, "user", "ada"), saved(t, manager, "user", "ada")
		grace, nobody := saved(t, manager, "user", "grace"), saved(t, manager, "basket", 7)
		late := load(t, manager, one)
		sessions, err := store.ReadMetadata(t.Context(), "session", "web", "ada")
		require.NoError(t, err)
		require.Len(t, sessions, 2)

		deleted, err := store.DeleteSubject(t.Context(), "session", "web", "ada")
		require.NoError(t, err)
		require.EqualValues(t, 2, deleted)
		_, _, err = manager.Commit(late)
		require.ErrorIs(t, err, mysqlsession.ErrNotFound)
		for _, token := range []string{one, other} {
			require.Empty(t, manager.Keys(load(t, manager, token)))
		}
		require.Equal(t, "grace", manager.GetString(load(t, manager, grace), "user"))
		require.Equal(t, 7, manager.GetInt(load(t, manager, nobody), "basket"))
	})
}

func TestTheReadmesUserNeedsNoMoreThanItSays(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		open(t, cfg)
		cfg = server.NewUser(t, cfg, "SELECT, INSERT, UPDATE, DELETE")
		store, err := mysqlsession.Open(t.Context(), cfg)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, store.Close()) })
		for _, manager := range []*scs.SessionManager{newSessions(store), newSessionsByUser(store)} {
			ctx := load(t, manager, saved(t, manager, "user", "ada"))
			require.NoError(t, manager.RenewToken(ctx))
			_, _, err = manager.Commit(ctx)
			require.NoError(t, err)
			require.NoError(t, manager.Destroy(ctx))
		}
		_, err = store.Cleanup(t.Context())
		require.NoError(t, err)
	})
}
