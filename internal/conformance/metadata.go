package conformance

import (
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

func metadataTests() []test {
	return []test{
		{"reading the metadata of nobody is an empty map", func(f *fixture) {
			assert.Empty(f, f.metadata("app", "nobody")) // and not nil, says the helper
		}},
		{"metadata tell every live session of a subject and its expiry", func(f *fixture) {
			f.set(id("a"), "value", time.Minute, of("app", "alice"))
			f.set(id("b"), "value", time.Hour, of("app", "alice", "app", "admins"))
			f.set(id("c"), "value", time.Hour, of("app", "bob", "api", "alice"))
			f.set(id("d"), "value", time.Hour)
			sessions := f.metadata("app", "alice")
			assert.Len(f, sessions, 2)
			f.equalTime(f.at(time.Minute), sessions[id("a")])
			f.equalTime(f.at(time.Hour), sessions[id("b")])
			assert.Len(f, f.metadata("app", "admins"), 1)
			assert.Len(f, f.metadata("api", "alice"), 1)

			f.clock.Advance(time.Minute)
			assert.Len(f, f.metadata("app", "alice"), 2)
			f.clock.Advance(time.Second)
			assert.Len(f, f.metadata("app", "alice"), 1)
		}},
		{"metadata are added and duplicates are no error", func(f *fixture) {
			f.set(id("a"), "value", time.Minute, of("app", "alice", "app", "alice"))
			f.set(id("a"), "value", time.Minute, of("app", "alice", "app", "admins"))
			f.set(id("a"), "value", time.Minute)
			assert.Len(f, f.metadata("app", "alice"), 1)
			assert.Len(f, f.metadata("app", "admins"), 1)
			assert.Equal(f, 2, f.count("SELECT COUNT(*) FROM sessions_meta"))
		}},
		{"a session may have many metadata", func(f *fixture) {
			var options mysqlsession.SetOptions
			for i := range 300 {
				options.Metadata = append(options.Metadata,
					mysqlsession.Metadata{Audience: "app", Subject: fmt.Sprintf("group %d", i)})
			}
			f.set(id("a"), "value", time.Minute, options)
			assert.Equal(f, 300, f.count("SELECT COUNT(*) FROM sessions_meta"))
			assert.Len(f, f.metadata("app", "group 299"), 1)
		}},
		{"audiences and subjects are told apart byte for byte", exactMetadata},
		{"audiences and subjects are data and never SQL", func(f *fixture) {
			for _, text := range []string{`'); DROP TABLE sessions; -- `, `\`, `\'`, `"`, "`", "%", "_", "line\nline", "\x00"} {
				f.set(id(text), "value", time.Minute, of(text, text))
				assert.Contains(f, f.metadata(text, text), id(text))
			}
		}},
		{"empty audiences and subjects are stored as given", func(f *fixture) {
			f.set(id("a"), "value", time.Minute, of("", "", "app", ""))
			assert.Len(f, f.metadata("", ""), 1)
			assert.Len(f, f.metadata("app", ""), 1)
			assert.Empty(f, f.metadata("", "app"))
		}},
		{"deleting a session takes its metadata along", func(f *fixture) {
			f.set(id("a"), "value", time.Minute, of("app", "alice", "app", "admins"))
			f.set(id("b"), "value", time.Minute, of("app", "alice"))
			require.NoError(f, f.store.Delete(f.Context(), cookie, id("a")))
			assert.Equal(f, 1, f.count("SELECT COUNT(*) FROM sessions_meta"))
			sessions := f.metadata("app", "alice")
			assert.Len(f, sessions, 1)
			assert.Contains(f, sessions, id("b"))
		}},
		{"text columns refuse metadata and names that they would damage", textMetadata},
		{"concurrent sign-ins of one subject all succeed", concurrentSignIns},
	}
}

func exactMetadata(f *fixture) {
	variants := []string{"app", "App", "APP", "app ", " app", "app  ", "app\x00"}
	if f.subject.Text {
		// These columns hold one of them for a session and call it equal to the others.
		f.set(id("a"), "value", time.Minute, of("app", "alice"))
		f.set(id("b"), "value", time.Minute, of("App", "alice "))
		assert.Len(f, f.metadata("app", "alice"), 1)
		assert.Contains(f, f.metadata("App", "alice "), id("b"))
		for _, variant := range variants[1:] {
			assert.Empty(f, f.metadata(variant, "alice"), "%q", variant)
			assert.Empty(f, f.metadata("app", strings.Replace(variant, "app", "Alice", 1)), "%q", variant)
		}
		return
	}
	variants = append(variants, "\xff", "\xfe", "é", "É", "e\u0301")
	for _, audience := range variants {
		f.set(id(audience), "value", time.Minute, of(audience, "alice", "to", audience))
	}
	for _, audience := range variants {
		sessions := f.metadata(audience, "alice")
		assert.Len(f, sessions, 1, "%q", audience)
		assert.Contains(f, sessions, id(audience))
		assert.Len(f, f.metadata("to", audience), 1, "%q", audience)
	}
	// The same session may have all of them.
	for _, audience := range variants {
		f.set(id("one"), "value", time.Minute, of(audience, "bob"))
	}
	for _, audience := range variants {
		assert.Contains(f, f.metadata(audience, "bob"), id("one"))
	}
}

func textMetadata(f *fixture) {
	for _, options := range []mysqlsession.SetOptions{of("é", "alice"), of("app", "\xff"), of("app", "alice", "app", "é")} {
		err := f.trySet(id("a"), "value", time.Minute, options)
		if !f.subject.Text {
			require.NoError(f, err)
			continue
		}
		f.refused(err, mysqlsession.ErrTextColumn, id("a"))
		f.gone(id("a"))
	}
	err := f.store.Set(f.Context(), "é", id("b"), []byte("value"), time.Minute, nil)
	if !f.subject.Text {
		require.NoError(f, err)
		return
	}
	f.refused(err, mysqlsession.ErrTextColumn, id("b"))
	assert.Zero(f, f.sessions())
	assert.Zero(f, f.count("SELECT COUNT(*) FROM sessions_meta"))

	// What cannot be there is not found, rather than an error of the server's.
	assert.Empty(f, f.metadata("é", "alice"))
	deleted, err := f.store.DeleteSubject(f.Context(), cookie, "app", "\xff")
	require.NoError(f, err)
	assert.Zero(f, deleted)
	_, err = f.store.Get(f.Context(), "é", id("b"))
	assert.ErrorIs(f, err, mysqlsession.ErrNotFound)
}

// concurrentSignIns is the load that deadlocks most easily: rows next to each other in
// the metadata's index, old ids and new ones in one transaction.
func concurrentSignIns(f *fixture) {
	const callers, rotations = 8, 5
	failures := make(chan error, callers)
	for caller := range callers {
		go func() {
			old := ""
			for rotation := range rotations {
				next := id(fmt.Sprint(caller, rotation))
				options := of("app", "alice", "app", "admins")
				options.OldKey, options.StaleTTL = old, time.Second
				if err := f.store.Set(f.Context(), cookie, next, []byte("value"), time.Hour, &options); err != nil {
					failures <- err
					return
				}
				old = next
			}
			failures <- nil
		}()
	}
	for range callers {
		require.NoError(f, <-failures)
	}
	assert.Len(f, f.metadata("app", "alice"), callers*rotations)
	f.clock.Advance(2 * time.Second)
	assert.Len(f, f.metadata("app", "alice"), callers)
}

func subjectTests() []test {
	remove := func(f *fixture, audience, subject string) int64 {
		deleted, err := f.store.DeleteSubject(f.Context(), cookie, audience, subject)
		require.NoError(f, err)
		return deleted
	}
	return []test{
		{"logging a subject out everywhere counts sessions and not rows", func(f *fixture) {
			f.set(id("a"), "value", time.Minute, of("app", "alice", "app", "admins", "api", "alice"))
			f.set(id("b"), "value", time.Minute, of("app", "alice"))
			f.set(id("c"), "value", time.Minute, of("app", "bob", "api", "alice"))
			assert.EqualValues(f, 2, remove(f, "app", "alice"))
			f.gone(id("a"))
			f.gone(id("b"))
			f.holds(id("c"), "value")
			assert.Equal(f, 2, f.count("SELECT COUNT(*) FROM sessions_meta"))
			assert.Empty(f, f.metadata("app", "admins"))
			assert.Zero(f, remove(f, "app", "alice"))
		}},
		{"logging nobody out removes nothing", func(f *fixture) {
			f.set(id("a"), "value", time.Minute, of("app", "alice"))
			assert.Zero(f, remove(f, "app", "nobody"))
			for _, variant := range []string{"App", "app "} {
				assert.Zero(f, remove(f, variant, "alice"), "%q", variant)
				assert.Zero(f, remove(f, "app", strings.Replace(variant, "app", "Alice", 1)+" "), "%q", variant)
			}
			f.holds(id("a"), "value")
		}},
		{"a subject of very many sessions is logged out of all", func(f *fixture) {
			const many = 1500
			f.exec("INSERT INTO sessions (sid, name, data, exp) VALUES "+rows("(?, ?, 'value', '2037-01-01')", many),
				each(many, func(i int) []any { return []any{id(fmt.Sprint(i)), cookie} })...)
			f.exec("INSERT INTO sessions_meta (aud, sub, sid) VALUES "+rows("('app', 'alice', ?)", many),
				each(many, func(i int) []any { return []any{id(fmt.Sprint(i))} })...)
			assert.Len(f, f.metadata("app", "alice"), many)
			assert.EqualValues(f, many, remove(f, "app", "alice"))
			assert.Zero(f, f.sessions())
		}},
	}
}

// rows is a VALUES list of n times the same row.
func rows(row string, n int) string { return strings.TrimSuffix(strings.Repeat(row+", ", n), ", ") }

// each collects the arguments of n rows.
func each(n int, arguments func(i int) []any) []any {
	var all []any
	for i := range n {
		all = append(all, arguments(i)...)
	}
	return all
}
