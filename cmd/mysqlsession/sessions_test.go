package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

const (
	laptopID = "laptop-id-Nobody-May-See-This-0123456789abc"
	phoneID  = "-phone-id-Nobody-May-See-This-0123456789abc" // begins with a dash
	adminID  = "admin-id-Nobody-May-See-This-0123456789abcd"
	oldID    = "old-id-Nobody-May-See-This-0123456789abcdef"
	bobsID   = "bobs-id-Nobody-May-See-This-0123456789abcde"
	theValue = `{"secret": "nobody may see this"}`
	ofAlice  = " --audience web --subject alice"
)

// aliceAndBob fills the database: of alice a laptop, a phone, one session under another
// name and one that has expired, and one of bob's.
func aliceAndBob(t *testing.T, server dbtest.Server, cfg mysqlsession.Config) *mysqlsession.Store {
	t.Helper()
	store, admin := storeIn(t, cfg), server.AdminIn(t, cfg.Database)
	for _, session := range []struct {
		name, id, subject string
		ttl               time.Duration
	}{
		{"session", laptopID, "alice", 30 * time.Minute}, {"session", phoneID, "alice", 9*24*time.Hour + time.Hour},
		{"admin", adminID, "alice", 3*time.Hour + time.Minute}, {"session", oldID, "alice", time.Hour}, {"session", bobsID, "bob", time.Hour},
	} {
		require.NoError(t, store.Set(t.Context(), session.name, session.id, []byte(theValue), session.ttl, &mysqlsession.SetOptions{
			Metadata: []mysqlsession.Metadata{{Audience: "web", Subject: session.subject}},
		}))
	}
	stored, err := store.Inspect(t.Context(), oldID)
	require.NoError(t, err)
	_, err = admin.ExecContext(t.Context(), "UPDATE sessions SET exp = '2001-01-01' WHERE sid = ?", stored.StoredID)
	require.NoError(t, err)
	return store
}

// executeLine is execute for arguments without spaces, which never prints a secret.
func executeLine(t *testing.T, line string) result {
	t.Helper()
	got := execute(t, strings.Fields(line)...)
	assert.NotContains(t, got.out+got.said, "Nobody-May-See", line)
	assert.NotContains(t, got.out+got.said, "nobody may see", line)
	return got
}

// alive are those of the sessions that can be read.
func alive(t *testing.T, store *mysqlsession.Store) (ids []string) {
	t.Helper()
	for _, session := range [][2]string{{"session", laptopID}, {"session", phoneID}, {"admin", adminID}, {"session", bobsID}} {
		if _, err := store.Get(t.Context(), session[0], session[1]); err == nil {
			ids = append(ids, session[1])
		} else {
			require.ErrorIs(t, err, mysqlsession.ErrNotFound)
		}
	}
	return ids
}

// digitsOf are the digits of a fingerprint that are printed.
func digitsOf(id string) string { return fingerprint(id)[:12] }

func TestListShowsASubjectsSessionsWithoutTheirSecrets(t *testing.T) {
	eachDatabase(t, func(t *testing.T, server dbtest.Server, cfg mysqlsession.Config) {
		aliceAndBob(t, server, cfg)
		got := executeLine(t, "sessions list"+ofAlice)
		assert.Zero(t, got.code, got.said)
		assert.Empty(t, got.said)
		assert.Regexp(t, `^FINGERPRINT   NAME     BYTES  EXPIRES\n`+
			digitsOf(phoneID)+`  session  33     20\S+ \S+ [+-]\d\d:\d\d, in 9d\n`+
			digitsOf(adminID)+`  admin    33     20\S+ \S+ [+-]\d\d:\d\d, in 3h\n`+
			digitsOf(laptopID)+`  session  33     20\S+ \S+ [+-]\d\d:\d\d, in (30|29)m\n$`, got.out)

		got = executeLine(t, "sessions list --name admin"+ofAlice)
		assert.Equal(t, 2, strings.Count(got.out, "\n"))
		assert.Contains(t, got.out, digitsOf(adminID))
		got = executeLine(t, "sessions list --expired"+ofAlice)
		assert.Equal(t, 5, strings.Count(got.out, "\n"))
		assert.Regexp(t, digitsOf(oldID)+` .*, \d+d ago\n$`, got.out)
		assert.Equal(t, result{said: "mysqlsession: no sessions\n"}, executeLine(t, "sessions list --audience web --subject nobody"))
	})
}

func TestListInJSONIsForMachines(t *testing.T) {
	eachDatabase(t, func(t *testing.T, server dbtest.Server, cfg mysqlsession.Config) {
		store := aliceAndBob(t, server, cfg)
		var views []map[string]any
		got := executeLine(t, "sessions list --json --name admin"+ofAlice)
		require.NoError(t, json.Unmarshal([]byte(got.out), &views), got.out)
		info, err := store.Inspect(t.Context(), adminID)
		require.NoError(t, err)
		assert.Equal(t, []map[string]any{{
			"fingerprint": digitsOf(adminID), "name": "admin", "live": true, "size": 33.0, "expires": info.Expires.UTC().Format(time.RFC3339),
		}}, views)
		assert.Equal(t, result{out: "[]\n"}, executeLine(t, "sessions list --json --audience web --subject nobody"))

		got = execute(t, strings.Fields("sessions list --json --ids --name admin"+ofAlice)...)
		require.NoError(t, json.Unmarshal([]byte(got.out), &views), got.out)
		assert.Equal(t, adminID, views[0]["id"], "whoever asks for ids gets them")
		got = execute(t, strings.Fields("sessions list --ids --name admin"+ofAlice)...)
		assert.Regexp(t, `^ID  .*\n`+adminID+"  "+digitsOf(adminID), got.out)
	})
}

func TestShowFindsASessionByIDAndByFingerprint(t *testing.T) {
	eachDatabase(t, func(t *testing.T, server dbtest.Server, cfg mysqlsession.Config) {
		aliceAndBob(t, server, cfg)
		byID := executeWith(t.Context(), strings.NewReader(phoneID+"\r\n"), "sessions", "show", "-")
		assert.Zero(t, byID.code, byID.said)
		assert.Regexp(t, `^Fingerprint  `+digitsOf(phoneID)+`\nName         session\nExpires      .*, in 9d\nLive         yes\nBytes        33\nBelongs to   alice of web\n$`, byID.out)
		for _, line := range []string{
			"sessions show -- " + phoneID, "sessions show --stored -- " + phoneID, "sessions show --name session -- " + phoneID,
		} {
			assert.Equal(t, byID, executeLine(t, line), line)
		}
		for _, digits := range []string{digitsOf(phoneID), fingerprint(phoneID), fingerprint(phoneID)[:6], strings.ToUpper(digitsOf(phoneID))} {
			got := executeLine(t, "sessions show "+digits+ofAlice)
			assert.Equal(t, byID, got, digits)
		}
		got := executeLine(t, "sessions show --json "+laptopID)
		assert.Contains(t, got.out, `"size": 33`)
		assert.Contains(t, executeLine(t, "sessions show "+oldID).out, "Live         no\n")
	})
}

func TestShowPrintsAValueWhenItIsAskedTo(t *testing.T) {
	eachDatabase(t, func(t *testing.T, server dbtest.Server, cfg mysqlsession.Config) {
		store := aliceAndBob(t, server, cfg)
		raw := "\x00\xff\x1b[31m\n"
		require.NoError(t, store.Set(t.Context(), "session", "raw", []byte(raw), time.Hour, nil))
		assert.Equal(t, result{out: theValue}, execute(t, "sessions", "show", "--value", laptopID))
		assert.Equal(t, result{out: theValue}, execute(t, strings.Fields("sessions show --value "+digitsOf(phoneID)+ofAlice)...))
		assert.Equal(t, result{out: raw}, execute(t, "sessions", "show", "--value", "raw"))

		var view sessionView
		got := execute(t, "sessions", "show", "--value", "--json", "raw")
		require.NoError(t, json.Unmarshal([]byte(got.out), &view))
		assert.Equal(t, raw, string(*view.Value))

		got = executeLine(t, "sessions show --value "+oldID)
		assert.Equal(t, exitFailure, got.code)
		assert.Equal(t, "mysqlsession: the session has ended, and its value cannot be read any more\n", got.said)
	})
}

func TestASessionThatIsNotFoundIsAFailure(t *testing.T) {
	eachDatabase(t, func(t *testing.T, server dbtest.Server, cfg mysqlsession.Config) {
		store := aliceAndBob(t, server, cfg)
		notThere := "session not found"
		for line, says := range map[string]string{
			"sessions show nobody":                                  notThere,
			"sessions revoke nobody":                                notThere,
			"sessions show --name admin " + laptopID:                notThere,
			"sessions revoke --name Session " + laptopID:            notThere,
			"sessions show 000000000000" + ofAlice:                  "no session with fingerprint 000000000000",
			"sessions revoke " + digitsOf(bobsID) + ofAlice:         "no session with fingerprint " + digitsOf(bobsID),
			"sessions show --name x " + digitsOf(adminID) + ofAlice: "no session with fingerprint",
			"sessions show " + strings.Repeat("x", 44):              "invalid session id: 44 bytes",
		} {
			got := executeLine(t, line)
			assert.Equal(t, exitFailure, got.code, line)
			assert.Contains(t, got.said, says, line)
			assert.Empty(t, got.out, line)
		}
		for _, line := range []string{"sessions revoke " + digitsOf(phoneID)[:5] + ofAlice, "sessions revoke " + laptopID + ofAlice} {
			got := executeLine(t, line)
			assert.Equal(t, exitUsage, got.code, line)
			assert.Contains(t, got.said, "by its fingerprint, 6 hexadecimal digits or more", line)
		}
		assert.Len(t, alive(t, store), 4, "nothing was revoked")
	})
}

func TestAFingerprintThatTwoSessionsHaveIsRefused(t *testing.T) {
	first, second := sameDigits(leastDigits)
	eachDatabase(t, func(t *testing.T, _ dbtest.Server, cfg mysqlsession.Config) {
		store := storeIn(t, cfg)
		for _, id := range []string{first, second} {
			require.NoError(t, store.Set(t.Context(), "session", id, nil, time.Hour, &mysqlsession.SetOptions{
				Metadata: []mysqlsession.Metadata{{Audience: "web", Subject: "alice"}},
			}))
		}
		digits := fingerprint(first)[:leastDigits]
		got := executeLine(t, "sessions revoke "+digits+ofAlice)
		assert.Equal(t, exitFailure, got.code)
		assert.Equal(t, "mysqlsession: the subject has 2 sessions with fingerprint "+digits+"; give more digits\n", got.said)
		assert.Equal(t, result{out: "revoked 1 session\n"}, executeLine(t, "sessions revoke "+digitsOf(first)+ofAlice))
		_, err := store.Get(t.Context(), "session", second)
		require.NoError(t, err)
	})
}

// sameDigits are two ids whose fingerprints begin with the same digits.
func sameDigits(n int) (first, second string) {
	seen := map[string]string{}
	for i := 0; ; i++ {
		id := fmt.Sprint("id", i)
		digits := fingerprint(id)[:n]
		if other, ok := seen[digits]; ok {
			return other, id
		}
		seen[digits] = id
	}
}

func TestCountTellsLiveFromExpiredByName(t *testing.T) {
	eachDatabase(t, func(t *testing.T, server dbtest.Server, cfg mysqlsession.Config) {
		storeIn(t, cfg)
		assert.Equal(t, result{said: "mysqlsession: no sessions\n"}, executeLine(t, "sessions count"))
		assert.Equal(t, result{out: "[]\n"}, executeLine(t, "sessions count --json"))
		aliceAndBob(t, server, cfg)
		assert.Equal(t, result{out: "NAME     LIVE  EXPIRED\nadmin    1     0\nsession  3     1\n"}, executeLine(t, "sessions count"))
		assert.Equal(t, result{out: "NAME   LIVE  EXPIRED\nadmin  1     0\n"}, executeLine(t, "sessions count --name admin"))
		assert.Equal(t, result{out: "NAME    LIVE  EXPIRED\nnobody  0     0\n"}, executeLine(t, "sessions count --name nobody"))
		assert.JSONEq(t, `[{"name": "admin", "live": 1, "expired": 0}, {"name": "session", "live": 3, "expired": 1}]`, executeLine(t, "sessions count --json").out)
	})
}

func TestWhatOthersHaveStoredDoesNotCommandATerminal(t *testing.T) {
	eachDatabase(t, func(t *testing.T, _ dbtest.Server, cfg mysqlsession.Config) {
		const name = "\x1b[2Jname\twith\ncontrol"
		require.NoError(t, storeIn(t, cfg).Set(t.Context(), name, "id", []byte("x"), time.Hour, &mysqlsession.SetOptions{
			Metadata: []mysqlsession.Metadata{{Audience: "web", Subject: "al\x07ice\xff"}},
		}))
		for _, arguments := range [][]string{{"count"}, {"show", "id"}, {"list", "--audience", "web", "--subject", "al\x07ice\xff"}} {
			got := execute(t, append([]string{"sessions"}, arguments...)...)
			assert.Zero(t, got.code, got.said)
			assert.Contains(t, got.out, `"\x1b[2Jname\twith\ncontrol"`)
			assert.NotContains(t, got.out, "\x1b")
			assert.NotContains(t, got.out, "\x07")
		}
	})
}

func TestShellsAreOfferedTheFingerprintsOfASubject(t *testing.T) {
	eachDatabase(t, func(t *testing.T, server dbtest.Server, cfg mysqlsession.Config) {
		aliceAndBob(t, server, cfg)
		for _, command := range []string{"show", "revoke"} {
			got := executeLine(t, "__complete sessions "+command+ofAlice+" "+digitsOf(adminID)[:1])
			assert.Contains(t, "\n"+got.out, "\n"+digitsOf(adminID)+"\tadmin, expires ")
			assert.Contains(t, got.out, ":36\n", "no files, and in this order")
			got = execute(t, append(strings.Fields("__complete sessions "+command+ofAlice), "")...)
			assert.Equal(t, 4, strings.Count(got.out, "\n"), "those that are live, and the directive")
			assert.NotContains(t, got.out, digitsOf(bobsID))
		}
		t.Setenv(dsnVariable, "mysql://127.0.0.1:1/nowhere")
		got := execute(t, append(strings.Fields("__complete sessions show"+ofAlice), "")...)
		assert.Equal(t, ":1\n", got.out)
	})
}
