package mysqlsessionprom_test

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/dbtest"
	mysqlsessionprom "github.com/mysqlsession/mysqlsession/telemetry/prometheus"
)

func ExampleNewCollector() {
	cfg, drop := dbtest.Example()
	defer drop()
	registry := prometheus.NewRegistry() // promhttp.HandlerFor(registry, ...) serves it
	collector := mysqlsessionprom.NewCollector()
	registry.MustRegister(collector)
	cfg.Pool = "shop"
	cfg.Trace = collector.Trace()
	ctx := context.Background()
	store, err := mysqlsession.Open(ctx, cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	remove, err := collector.Add(store.Pool())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer remove()
	if err := store.Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := store.Get(ctx, "session", "no-such-id"); err != nil {
		fmt.Println(err)
	}
	families, err := registry.Gather()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, family := range families {
		if family.GetName() == "mysqlsession_call_duration_seconds" {
			call := family.GetMetric()[0]
			for _, label := range call.GetLabel() {
				fmt.Println(label.GetName(), "is", label.GetValue())
			}
			fmt.Println(call.GetHistogram().GetSampleCount(), "call")
		}
	}
	// Output:
	// mysqlsession: session not found
	// operation is get
	// outcome is not_found
	// pool is shop
	// 1 call
}
