package remember_test

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/remember"
)

// kept are those of the keys that are there. It asks for the last one used first, so that
// asking leaves their order as it was.
func kept(s *remember.Set, keys ...string) (there []string) {
	for _, key := range keys {
		if s.Has(key) {
			there = append(there, key)
		}
	}
	return there
}

func TestAKeyIsThereFromWhenItIsAddedUntilItIsRemoved(t *testing.T) {
	s := remember.New(2)
	require.False(t, s.Has("a"))
	s.Add("a")
	s.Add("a")
	require.True(t, s.Has("a"))
	require.False(t, s.Has("b"))
	require.Equal(t, 1, s.Len())
	s.Remove("a")
	s.Remove("a")
	require.False(t, s.Has("a"))
	require.Zero(t, s.Len())
}

func TestTheKeyThatWasNotUsedForTheLongestTimeGoesFirst(t *testing.T) {
	s := remember.New(3)
	s.Add("a")
	s.Add("b")
	s.Add("c")
	s.Add("a")       // used again
	s.Add("d")       // b goes
	s.Has("c")       // used too
	s.Has("unknown") // uses nothing
	s.Add("e")       // a goes
	require.Equal(t, []string{"c", "d", "e"}, kept(s, "a", "b", "c", "d", "e"))
	require.Equal(t, 3, s.Len())
}

func TestRemovedKeysMakeRoom(t *testing.T) {
	s := remember.New(3)
	for _, key := range []string{"a", "b", "c"} {
		s.Add(key)
	}
	s.Remove("b")
	s.Remove("a")
	s.Add("d")
	s.Add("e")
	require.Equal(t, []string{"c", "d", "e"}, kept(s, "a", "b", "c", "d", "e"), "nothing had to go")
	s.Add("f")
	require.Equal(t, []string{"d", "e", "f"}, kept(s, "c", "d", "e", "f"))
}

func TestASetOfNoSizeRemembersNothing(t *testing.T) {
	for _, size := range []int{0, -1} {
		s := remember.New(size)
		s.Add("a")
		require.False(t, s.Has("a"))
		s.Remove("a")
		require.Zero(t, s.Len())
	}
}

// What a set does is compared with a list that is searched from end to end.
func TestItDoesWhatAListWouldDo(t *testing.T) {
	for _, size := range []int{1, 2, 7} {
		s := remember.New(size)
		var list []string // the last one used is the last one
		for step := range 20_000 {
			key := strconv.Itoa(rand.N(12))
			at := slices.Index(list, key)
			switch rand.N(3) {
			case 0:
				s.Add(key)
				if at >= 0 {
					list = slices.Delete(list, at, at+1)
				} else if len(list) == size {
					list = list[1:]
				}
				list = append(list, key)
			case 1:
				require.Equal(t, at >= 0, s.Has(key), "step %d", step)
				if at >= 0 {
					list = append(slices.Delete(list, at, at+1), key)
				}
			default:
				s.Remove(key)
				if at >= 0 {
					list = slices.Delete(list, at, at+1)
				}
			}
			require.Equal(t, len(list), s.Len(), "step %d", step)
		}
	}
}

func TestItsMemoryIsBoundedHoweverManyAndLongTheKeysAre(t *testing.T) {
	const size, perKey = 50_000, 80
	long := strings.Repeat("x", 10_000)
	before := inUse()
	s := remember.New(size)
	for i := range 6 * size {
		key := strconv.Itoa(i)
		if i%100 == 0 {
			key += long
		}
		s.Add(key)
		if i%3 == 0 {
			s.Remove(strconv.Itoa(i - 10))
		}
	}
	grown := int64(inUse()) - int64(before)
	t.Logf("%d bytes a key", grown/size)
	assert.Less(t, grown, int64(size*perKey))
	assert.LessOrEqual(t, s.Len(), size)
	runtime.KeepAlive(s)
}

func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestUseBySeveralAtTheSameTime(t *testing.T) {
	s := remember.New(100)
	var running sync.WaitGroup
	for worker := range 8 {
		running.Go(func() {
			own := "worker " + strconv.Itoa(worker)
			for range 5_000 {
				s.Add(own)
				assert.True(t, s.Has(own), "eight in use do not go for as many others")
				switch key := strconv.Itoa(rand.N(50)); rand.N(3) {
				case 0:
					s.Add(key)
				case 1:
					s.Has(key)
				default:
					s.Remove(key)
				}
			}
		})
	}
	running.Wait()
	require.LessOrEqual(t, s.Len(), 58)
}

func TestNothingIsAllocatedOnceItIsFull(t *testing.T) {
	s := remember.New(100)
	keys := make([]string, 1_000)
	for i := range keys {
		keys[i] = strconv.Itoa(i)
		s.Add(keys[i])
	}
	i := 0
	require.Less(t, testing.AllocsPerRun(10_000, func() {
		s.Add(keys[i%len(keys)])
		s.Has(keys[(i+500)%len(keys)])
		i++
	}), 1.0)
}
