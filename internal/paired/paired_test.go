package paired_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/paired"
)

func TestWhatTakesTwiceTheTimeIsToldApart(t *testing.T) {
	sleeping := func(d time.Duration) func(int, int) error {
		return func(int, int) error { time.Sleep(d); return nil }
	}
	results, err := paired.Compare([]paired.Alternative{
		{Name: "short", Call: sleeping(2 * time.Millisecond)}, {Name: "long", Call: sleeping(6 * time.Millisecond)},
	}, 4, 3, 30*time.Millisecond)
	require.NoError(t, err)
	require.Equal(t, 1.0, results[0].RateRatio)
	require.Less(t, results[1].RateRatio, 0.8)
	require.Contains(t, paired.Table(results), "long")
}

func TestAnErrorEndsIt(t *testing.T) {
	broken := errors.New("broken")
	_, err := paired.Compare([]paired.Alternative{{Name: "a", Call: func(int, int) error { return broken }}}, 2, 3, time.Millisecond)
	require.ErrorIs(t, err, broken)
}
