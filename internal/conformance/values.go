package conformance

import (
	"bytes"
	"strconv"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

func valueTests() []test {
	return []test{
		{"a value is read back as it was set", func(f *fixture) {
			f.set(id("a"), `{"user":"o'brien","path":"C:\\"}`, time.Minute)
			f.holds(id("a"), `{"user":"o'brien","path":"C:\\"}`)
		}},
		{"what was never set is not found", func(f *fixture) {
			f.gone(id("a"))
		}},
		{"an empty value is a value", emptyValue},
		{"every byte that the columns can hold is kept", everyByte},
		{"text columns refuse every byte that they would damage", textColumnsRefuse},
		{"values of every length encoding are kept", lengths},
		{"the largest value is kept and one byte more is refused", largestValue},
		{"a larger packet size allows larger values", largerPackets},
		{"a value that another store may read and this one may not fails alone", oversizedRow},
		{"a later set replaces the value", func(f *fixture) {
			f.set(id("a"), "first", time.Minute)
			f.set(id("a"), "second", time.Minute)
			f.holds(id("a"), "second")
			assert.Equal(f, 1, f.sessions())
		}},
		{"setting the same value again is no error", func(f *fixture) {
			f.set(id("a"), "same", time.Minute)
			f.set(id("a"), "same", time.Minute)
			f.holds(id("a"), "same")
		}},
		{"a value belongs to its caller", ownValue},
		{"a deleted session is gone and deleting it again is no error", func(f *fixture) {
			f.set(id("a"), "value", time.Minute)
			f.set(id("b"), "other", time.Minute)
			require.NoError(f, f.store.Delete(f.Context(), cookie, id("a")))
			f.gone(id("a"))
			f.holds(id("b"), "other")
			require.NoError(f, f.store.Delete(f.Context(), cookie, id("a")))
			require.NoError(f, f.store.Delete(f.Context(), cookie, id("never there")))
		}},
	}
}

func emptyValue(f *fixture) {
	for _, value := range [][]byte{{}, nil} {
		require.NoError(f, f.store.Set(f.Context(), cookie, id("a"), value, time.Minute, nil))
		got, err := f.store.Get(f.Context(), cookie, id("a"))
		require.NoError(f, err)
		assert.NotNil(f, got)
		assert.Empty(f, got)
		many, err := f.store.GetMany(f.Context(), cookie, []string{id("a")})
		require.NoError(f, err)
		assert.Contains(f, many, id("a"))
	}
}

// allBytes is a string of every byte below limit.
func allBytes(limit int) string {
	all := make([]byte, limit)
	for i := range all {
		all[i] = byte(i)
	}
	return string(all)
}

func everyByte(f *fixture) {
	limit := 256
	if f.subject.Text {
		limit = 128
	}
	all := allBytes(limit)
	for label, value := range map[string]string{
		"each":            all,
		"trailing spaces": "value  ",
		"trailing zeros":  "value\x00\x00",
		"spaces alone":    "   ",
		"quotes":          `'"\'` + "`\\",
	} {
		f.set(id(label), value, time.Minute)
		f.holds(id(label), value)
	}
	for i := range limit {
		single := string([]byte{byte(i)})
		f.set(id("single"), single, time.Minute)
		f.holds(id("single"), single)
	}
}

func textColumnsRefuse(f *fixture) {
	f.set(id("a"), "kept", time.Minute)
	for i := 128; i < 256; i++ {
		value := "text" + string([]byte{byte(i)})
		err := f.trySet(id("a"), value, time.Hour)
		if !f.subject.Text {
			require.NoError(f, err)
			continue
		}
		f.refused(err, mysqlsession.ErrTextColumn, id("a"))
		f.holds(id("a"), "kept")
	}
	if f.subject.Text {
		assert.ErrorContains(f, f.trySet(id("a"), "é", time.Hour), "Migrate")
		f.equalTime(f.at(time.Minute), f.storedExpiry(id("a")))
	}
}

// pattern is a value of a length that shows any byte lost, doubled or moved.
func pattern(length int) string {
	buf := make([]byte, 0, length+20)
	for i := int64(0); len(buf) < length; i++ {
		buf = append(strconv.AppendInt(buf, i, 10), ',')
	}
	return string(buf[:length])
}

func lengths(f *fixture) {
	for _, length := range []int{1, 250, 251, 252, 1<<16 - 1, 1 << 16, 1<<16 + 1} {
		value := pattern(length)
		f.set(id("a"), value, time.Minute)
		f.holds(id("a"), value)
	}
}

func largestValue(f *fixture) {
	tests := []struct {
		maxPacketSize int
		largest       int
	}{
		{0, 1048572},
		{1024, 1020},
		{100_000, 99_996},
	}
	for _, test := range tests {
		f.store = f.open(func(cfg *mysqlsession.Config) { cfg.MaxPacketSize = test.maxPacketSize })
		largest := pattern(test.largest)
		f.set(id("a"), largest, time.Minute)
		f.refused(f.trySet(id("a"), largest+"x", time.Minute), mysqlsession.ErrValueTooLarge, id("a"))
		f.holds(id("a"), largest)

		err := f.store.Update(f.Context(), cookie, id("a"), time.Minute, func([]byte) ([]byte, error) {
			return []byte(largest + "x"), nil
		})
		f.refused(err, mysqlsession.ErrValueTooLarge, id("a"))
		f.holds(id("a"), largest)

		f.refused(f.trySet(id("new"), largest+"x", time.Minute), mysqlsession.ErrValueTooLarge, id("new"))
		f.gone(id("new"))
	}
}

func largerPackets(f *fixture) {
	f.store = f.open(func(cfg *mysqlsession.Config) { cfg.MaxPacketSize = 4 << 20 })
	value := pattern(4<<20 - 4)
	f.set(id("a"), value, time.Minute)
	got, err := f.store.Get(f.Context(), cookie, id("a"))
	require.NoError(f, err)
	assert.True(f, value == string(got), "4 MiB came back changed, %d bytes long", len(got))
}

func oversizedRow(f *fixture) {
	large := f.open(func(cfg *mysqlsession.Config) { cfg.MaxPacketSize = 4 << 20 })
	value := bytes.Repeat([]byte("x"), 2<<20)
	require.NoError(f, large.Set(f.Context(), cookie, id("large"), value, time.Minute, nil))
	f.set(id("small"), "value", time.Minute)

	_, err := f.store.Get(f.Context(), cookie, id("large"))
	f.refused(err, mysqlsession.ErrPacketTooLarge, id("large"))
	f.holds(id("small"), "value")
}

func ownValue(f *fixture) {
	value := []byte("value")
	require.NoError(f, f.store.Set(f.Context(), cookie, id("a"), value, time.Minute, nil))
	copy(value, "XXXXX")
	first, err := f.store.Get(f.Context(), cookie, id("a"))
	require.NoError(f, err)
	f.set(id("b"), "other", time.Minute)
	f.holds(id("b"), "other")
	assert.Equal(f, "value", string(first))
	copy(first, "YYYYY")
	f.holds(id("a"), "value")
}
