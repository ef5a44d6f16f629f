package mysqlsessionotel_test

import (
	"testing"
	"time"

	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

const (
	waitFor = 10 * time.Second
	tick    = 5 * time.Millisecond
)
