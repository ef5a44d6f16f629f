package tuning

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
)

func TestRoomLeavesConnectionsForOthers(t *testing.T) {
	r := newRoom(151, 3, 2)
	require.Equal(t, Room{MaxConnections: 151, Others: 3, Reserve: 16, Instances: 2, Each: 66}, r)
	require.Equal(t, "(max_connections 151 - reserve 16 - others 3) / 2 = 66 for each instance", r.String())
	require.Equal(t, []int{2, 4, 8, 16, 32, 64}, r.sizes())
	require.Equal(t, []int{1}, newRoom(11, 0, 1).sizes())
	require.Empty(t, newRoom(12, 5, 1).sizes(), "all are others'")
	require.Equal(t, []int{2, 4, 8, 16, 32, 64, 128, 256, 512}, newRoom(100_000, 0, 1).sizes())
}

// found is the result of a search that has measured these trials.
func found(trials ...Trial) *Result {
	target := Target{Percentile: 99, Latency: 5 * time.Millisecond, Rate: 2000}
	return &Result{
		Options: Options{Target: target, Instances: 2, Headroom: 0.2, Patience: 100 * time.Millisecond, Limit: time.Minute},
		Room:    newRoom(151, 3, 2),
		Floor:   Floor{Connects: []float64{1000, 40_000, 2000}},
		Trials:  trials,
	}
}

func at(micros float64) *float64 { return &micros }

func TestAdviceShowsItsArithmetic(t *testing.T) {
	r := found(
		Trial{Purpose: purposeSize, PoolSize: 2, AtPercentile: at(9000), Longest: 90_000, Waiting: 500},
		Trial{Purpose: purposeSize, PoolSize: 4, AtPercentile: at(3100), Longest: 12_000, Waiting: 30, Met: true},
		Trial{Purpose: purposeConfirm, PoolSize: 4, AtPercentile: at(3400), Longest: 22_000, Waiting: 14, Met: true},
		Trial{Purpose: purposeLarger, PoolSize: 8, AtPercentile: at(3000), Longest: 9000},
	)
	cfg, advice := advise(r, mysqlsession.Config{Database: "shop"}, 4)
	require.Equal(t, 4, cfg.PoolSize)
	require.Equal(t, 100, cfg.Backlog, "1000 requests/s for each instance, 0.1 s")
	require.Equal(t, 400*time.Millisecond, cfg.ConnectTimeout, "10 × 40 ms")
	require.Equal(t, 1500*time.Millisecond, cfg.ReadTimeout, "1 s + 10 × 22 ms, and rounded up")
	require.Equal(t, time.Second, cfg.LockWaitTimeout)
	said := map[string]string{}
	for _, a := range advice {
		said[a.Field] = a.Because
		require.Equal(t, fmt.Sprint(reflect.ValueOf(cfg).FieldByName(a.Field)), a.Value, a.Field)
	}
	require.Contains(t, said["PoolSize"], "at 2400 requests/s (2000 and 20 % headroom), twice: 3.1ms, 3.4ms, 2 had 9ms, 8 has 3ms")
	require.Contains(t, said["Backlog"], "2000 requests/s / 2 × 100ms that a caller may wait = 100 (Little's law)")
	require.Contains(t, said["Backlog"], "twice the 30 that waited at most here = 60")
	require.Contains(t, said["ConnectTimeout"], "10 × the slowest of 3 logins, 40ms = 400ms")
	require.Contains(t, said["ReadTimeout"], "10 × the slowest request, 22ms = 1.22s")
}

func TestBacklogIsNeverBelowWhatWasSeenToWait(t *testing.T) {
	r := found(Trial{Purpose: purposeSize, PoolSize: 4, AtPercentile: at(1), Waiting: 777, Met: true})
	cfg, _ := advise(r, mysqlsession.Config{}, 4)
	require.Equal(t, 1600, cfg.Backlog)
}

func TestWhatDoesNotGoWithASmallerPoolIsLeftToItsDefault(t *testing.T) {
	cfg := withPool(mysqlsession.Config{MinIdleConns: 8, MaxConcurrentDials: 2, CoalesceMaxLanes: 9}, 4)
	require.Equal(t, mysqlsession.Config{PoolSize: 4, MaxConcurrentDials: 2}, cfg)
}

// full has every kind of field set, and a password that must not be shown.
func full() mysqlsession.Config {
	return mysqlsession.Config{
		Host: "db.example", Port: 3307, Hosts: []string{"b.example:3306", "[::1]:3306"}, Username: "ada", Password: "s3cret", Database: "shop",
		ConnectTimeout: 250 * time.Millisecond, SendTimeout: -1, ReadTimeout: 90 * time.Second, KeepaliveTimeout: time.Minute, LockWaitTimeout: time.Hour,
		SSL: true, SSLMode: mysqlsession.SSLModeRequired, StatementMode: mysqlsession.StatementModeText, PoolSize: 8, Backlog: 200,
		TableName: "s", HashKeys: true, Coalesce: mysqlsession.CoalesceOff, TimeZone: "+00:00",
	}
}

func TestCodeIsAConfigWithEveryFieldThatIsSetButThePassword(t *testing.T) {
	r := &Result{Met: true, Config: full()}
	code, err := r.GoCode()
	require.NoError(t, err)
	require.NotContains(t, code, "s3cret")

	parsed, err := parser.ParseFile(token.NewFileSet(), "code.go", "package p\nfunc f() {\n"+code+"}\n", parser.SkipObjectResolution)
	require.NoError(t, err)
	got := map[string]string{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if pair, ok := n.(*ast.KeyValueExpr); ok {
			from, to := pair.Value.Pos(), pair.Value.End()
			source := "package p\nfunc f() {\n" + code + "}\n"
			got[pair.Key.(*ast.Ident).Name] = source[from-1 : to-1]
		}
		return true
	})
	require.Equal(t, map[string]string{
		"Host": `"db.example"`, "Port": "3307", "Hosts": `[]string{"b.example:3306", "[::1]:3306"}`, "Username": `"ada"`,
		"Password": `os.Getenv("MYSQLSESSION_PASSWORD")`, "Database": `"shop"`,
		"ConnectTimeout": "250 * time.Millisecond", "SendTimeout": "-1", "ReadTimeout": "90 * time.Second", "KeepaliveTimeout": "time.Minute",
		"LockWaitTimeout": "time.Hour", "SSL": "true", "SSLMode": `"required"`, "StatementMode": `"text"`, "PoolSize": "8", "Backlog": "200",
		"TableName": `"s"`, "HashKeys": "true", "Coalesce": `"off"`, "TimeZone": `"+00:00"`,
	}, got)
	for field := range got {
		_, ok := reflect.TypeFor[mysqlsession.Config]().FieldByName(field)
		require.True(t, ok, field)
	}
}

func TestDSNIsTheConfigWithoutThePassword(t *testing.T) {
	r := &Result{Met: true, Config: full()}
	dsn, err := r.DSN()
	require.NoError(t, err)
	require.NotContains(t, dsn, "s3cret")
	parsed, err := mysqlsession.ParseConfig(dsn)
	require.NoError(t, err)
	want := full()
	want.Password = ""
	require.Equal(t, want, parsed)
}

func TestNothingIsShownOfATargetThatIsNotMet(t *testing.T) {
	r := &Result{Config: full()}
	_, err := r.GoCode()
	require.ErrorIs(t, err, errNoResult)
	_, err = r.DSN()
	require.ErrorIs(t, err, errNoResult)
}

func TestRoundingIsUp(t *testing.T) {
	for n, want := range map[int]int{1: 1, 99: 99, 101: 110, 500: 500, 1554: 1600} {
		require.Equal(t, want, roundCount(n))
	}
	for d, want := range map[time.Duration]time.Duration{
		1: 50 * time.Millisecond, 250 * time.Millisecond: 250 * time.Millisecond, 1001 * time.Millisecond: 1500 * time.Millisecond,
		5001 * time.Millisecond: 6 * time.Second,
	} {
		require.Equal(t, want, roundTime(d))
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	good := found().Options
	require.NoError(t, good.Validate())
	for says, change := range map[string]func(o *Options){
		"instances is 0": func(o *Options) { o.Instances = 0 },
		"headroom is -1": func(o *Options) { o.Headroom = -1 },
		"patience is 0s": func(o *Options) { o.Patience = 0 },
		"limit is 1ms":   func(o *Options) { o.Limit = time.Millisecond },
		"rate is 0":      func(o *Options) { o.Target.Rate = 0 },
	} {
		bad := good
		change(&bad)
		require.ErrorContains(t, bad.Validate(), says)
	}
}
