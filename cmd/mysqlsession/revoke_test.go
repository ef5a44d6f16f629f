package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestRevokeEndsTheOneSessionThatIsMeant(t *testing.T) {
	revoked := result{out: "revoked 1 session\n"}
	eachDatabase(t, func(t *testing.T, server dbtest.Server, cfg mysqlsession.Config) {
		store := aliceAndBob(t, server, cfg)
		assert.Equal(t, revoked, executeWith(t.Context(), strings.NewReader(phoneID), "sessions", "revoke", "-"))
		assert.Equal(t, []string{laptopID, adminID, bobsID}, alive(t, store))
		assert.Equal(t, revoked, executeLine(t, "sessions revoke --name admin "+digitsOf(adminID)+ofAlice))
		assert.Equal(t, []string{laptopID, bobsID}, alive(t, store))
		assert.Equal(t, result{out: "{\n  \"revoked\": 1\n}\n"}, executeLine(t, "sessions revoke --json "+laptopID))
		assert.Equal(t, []string{bobsID}, alive(t, store))
		assert.Equal(t, revoked, executeLine(t, "sessions revoke "+oldID), "one that has expired goes as well")
		assert.Equal(t, result{said: "mysqlsession: no sessions\n"}, executeLine(t, "sessions list --expired"+ofAlice))
	})
}

func TestRevokeAllSignsASubjectOutUnderEveryName(t *testing.T) {
	eachDatabase(t, func(t *testing.T, server dbtest.Server, cfg mysqlsession.Config) {
		store := aliceAndBob(t, server, cfg)
		assert.Equal(t, result{out: "revoked 1 session\n"}, executeLine(t, "sessions revoke-all --yes --name admin"+ofAlice))
		assert.Equal(t, []string{laptopID, phoneID, bobsID}, alive(t, store))
		require.NoError(t, store.Set(t.Context(), "admin", adminID, nil, time.Hour, &mysqlsession.SetOptions{
			Metadata: []mysqlsession.Metadata{{Audience: "web", Subject: "alice"}},
		}))
		assert.Equal(t, result{out: "revoked 3 sessions\n"}, executeLine(t, "sessions revoke-all --yes"+ofAlice))
		assert.Equal(t, []string{bobsID}, alive(t, store))
		assert.Equal(t, result{said: "mysqlsession: no sessions\n"}, executeLine(t, "sessions list --expired"+ofAlice))
		assert.Equal(t, result{out: "{\n  \"revoked\": 0\n}\n"}, executeLine(t, "sessions revoke-all --yes --json"+ofAlice))
	})
}

func TestRevokeAllOfEverybodyKeepsToTheName(t *testing.T) {
	eachDatabase(t, func(t *testing.T, server dbtest.Server, cfg mysqlsession.Config) {
		store := aliceAndBob(t, server, cfg)
		assert.Equal(t, result{out: "revoked 4 sessions\n"}, executeLine(t, "sessions revoke-all --yes --everybody --name session"))
		assert.Equal(t, []string{adminID}, alive(t, store))
	})
}

func TestWithHashedIDsEveryCommandTakesTheIDOfACookieAndThoseOfLists(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, server dbtest.Server) {
		cfg := server.NewDatabase(t)
		cfg.HashKeys = true
		t.Setenv(dsnVariable, cfg.ConnString())
		store := aliceAndBob(t, server, cfg)
		info, err := store.Inspect(t.Context(), laptopID)
		require.NoError(t, err)
		hash := info.StoredID
		got := executeLine(t, "sessions list --ids"+ofAlice)
		assert.Contains(t, got.out, hash+"  "+digitsOf(hash))

		for _, arguments := range []string{laptopID, "--stored -- " + hash, digitsOf(hash) + ofAlice} {
			got := execute(t, strings.Fields("sessions show --value "+arguments)...)
			assert.Equal(t, result{out: theValue}, got, arguments)
		}
		got = executeLine(t, "sessions show -- "+hash)
		assert.Equal(t, exitFailure, got.code, "it is no cookie's")
		assert.Equal(t, result{out: "revoked 1 session\n"}, executeLine(t, "sessions revoke --stored -- "+hash))
		assert.Equal(t, result{out: "revoked 1 session\n"}, executeLine(t, "sessions revoke -- "+phoneID))
		assert.Equal(t, []string{adminID, bobsID}, alive(t, store))
	})
}
