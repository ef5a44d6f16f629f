package fiberstorage_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	fiberstorage "github.com/mysqlsession/mysqlsession/adapters/fiber"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	"github.com/mysqlsession/mysqlsession/internal/pagetest"
)

func TestTheReadmesGoCodeIsThatOfTheExamplesWhichAreCompiledAndRun(t *testing.T) {
	assert.Equal(t, 8, pagetest.Readme(t, nil))
}

func TestTheReadmeLeavesNothingOutOfAFunction(t *testing.T) {
	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	for _, block := range pagetest.Blocks(t, "README.md", "go") {
		if !strings.Contains(string(source), "\n"+block.Text) {
			assert.Contains(t, string(source), "{\n"+pagetest.Indented(block.Text)+"}\n")
		}
	}
}

func TestTheReadmesFiguresAreTheCodes(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	assert.Equal(t, 65536, fiberstorage.Remembered)
	assert.Contains(t, string(readme), "65,536")
}

func TestSessionsThatAreSavedByHandHoldWhatWasSaved(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		store, _ := openStore(t, server, nil)
		sessions := session.NewStore(session.Config{Storage: fiberstorage.NewSessions(store, "name")})
		app := fiber.New()
		app.Get("/", ok)
		app.Post("/", func(c fiber.Ctx) error { return countVisits(c, sessions) })
		app.Get("/visits", func(c fiber.Ctx) error {
			sess, err := sessions.Get(c)
			if err != nil {
				return err
			}
			defer sess.Release()
			return c.JSON(sess.Get("visits"))
		})
		b := newBrowser(t, listen(t, app))
		b.wants(http.StatusOK, http.MethodGet, "/")
		require.Empty(t, expiries(t, store))
		b.wants(http.StatusOK, http.MethodPost, "/")
		b.wants(http.StatusOK, http.MethodPost, "/")
		require.Equal(t, "2", b.wants(http.StatusOK, http.MethodGet, "/visits"))
		require.Len(t, expiries(t, store), 1)
	})
}
