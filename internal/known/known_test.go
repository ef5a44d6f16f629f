package known_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/known"
)

func TestAValueIsMadeOnceForEachKey(t *testing.T) {
	var values known.Values[int, int]
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			for key := range 100 {
				first := values.Of(key, func(key int) *int { value := key * 2; return &value })
				if *first != key*2 || first != values.Of(key, func(int) *int { return new(int) }) {
					t.Errorf("the value of %d is made again", key)
				}
			}
		})
	}
	done.Wait()
}

func TestKeysThatNeverEndDoNotFillTheMemory(t *testing.T) {
	var values known.Values[int, int]
	made := 0
	create := func(key int) *int { made++; return &key }
	for range 2 {
		for key := range 5000 {
			require.Equal(t, key, *values.Of(key, create))
		}
	}
	require.Equal(t, 5000+(5000-4096), made, "those beyond are made each time")
	require.Zero(t, testing.AllocsPerRun(100, func() { values.Of(1, create) }))
}
