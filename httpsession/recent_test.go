package httpsession

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestASessionIsDueOnceInAnInterval(t *testing.T) {
	r, now := newRecent(time.Minute, 100), time.Now()
	assert.True(t, r.due("a", now))
	assert.False(t, r.due("a", now.Add(time.Minute-1)))
	assert.True(t, r.due("b", now.Add(time.Minute-1)))
	assert.True(t, r.due("a", now.Add(time.Minute)))
	assert.False(t, r.due("b", now.Add(time.Minute)))
	r.done("c", now.Add(time.Minute))
	assert.False(t, r.due("c", now.Add(time.Minute)))
	r.failed("c")
	assert.True(t, r.due("c", now.Add(time.Minute)))
	assert.True(t, r.due("c", now), "a clock that is set back stops nothing")
}

func TestWhatIsRememberedOfSessionsIsBounded(t *testing.T) {
	const limit = 100
	r, now := newRecent(time.Minute, limit), time.Now()
	for i := range 10 * limit {
		require.True(t, r.due(strconv.Itoa(i), now))
		require.LessOrEqual(t, len(r.newer)+len(r.older), 2*limit)
	}
	assert.False(t, r.due(strconv.Itoa(10*limit-1), now), "the last ones are remembered")
	now = now.Add(time.Minute)
	r.due("a", now)
	r.due("a", now.Add(time.Minute))
	assert.Equal(t, 2, len(r.newer)+len(r.older), "what is older than two intervals is gone")
}

func FuzzIDsOfARequest(f *testing.F) {
	id := newID()
	for _, header := range []string{
		"session=" + id, "session=" + id + "; session=" + newID(), `session="` + id + `"`, "session=", "session=\n" + id, "other=" + id,
		"session=" + id[:42] + "/", "session=" + id[:42] + "B", "session=" + id + "=",
	} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		list := ids(&http.Request{Header: http.Header{"Cookie": {header}}}, "session")
		require.LessOrEqual(t, len(list), mostCookies)
		seen := map[string]bool{}
		for _, id := range list {
			require.Regexp(t, `^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$`, id)
			require.Contains(t, header, id)
			require.False(t, seen[id])
			seen[id] = true
		}
	})
}

func FuzzDecodingWhatIsStored(f *testing.F) {
	for _, row := range []string{`{"began":1,"subject":"ada","value":{"a":1}}`, "null", "", "{}", `{"value":[]}`} {
		f.Add([]byte(row))
	}
	f.Fuzz(func(t *testing.T, row []byte) {
		stored, err := decode[map[string]any](row)
		if err != nil {
			return
		}
		encoded, err := stored.encode()
		require.NoError(t, err)
		require.True(t, stored.isIn(row, encoded), "what only was read has not changed")
	})
}
