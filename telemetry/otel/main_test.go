package mysqlsessionotel_test

import (
	"testing"

	"github.com/mysqlsession/mysqlsession/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }
