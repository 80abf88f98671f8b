package chatd

import (
	"reflect"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"keepsake.example/chatd/nearest"
)

// Every metric that is made is published: a field of the struct that is not in
// the registry, or that nothing was ever made for, is found here. (Two counters
// that were bumped and never published were a bug of a server much like this.)
func TestEveryMetricIsPublished(t *testing.T) {
	m := newMetrics()
	touch(t, m)
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	published := 0
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "chatd_") {
			published++
			if f.GetHelp() == "" {
				t.Errorf("%s has no help", f.GetName())
			}
		}
	}
	if want := reflect.TypeFor[metrics]().NumField() - 1; published != want { // but for the registry
		t.Errorf("%d metrics are published of %d", published, want)
	}
}

// What alarms ask for is there before it first happens.
func TestAlarmsHaveABeginning(t *testing.T) {
	m := newMetrics()
	m.watchVault("0", func() nearest.Status { return nearest.Status{} })
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, f := range families {
		there[f.GetName()] = true
	}
	for _, name := range []string{"chatd_vault_up", "chatd_vault_away_total", "chatd_relays_total", "chatd_connections_refused_total", "chatd_audit_lines_total"} {
		if !there[name] {
			t.Errorf("no %s before it first happened", name)
		}
	}
}

// touch gives every vector one value, without which it shows nothing.
func touch(t *testing.T, m *metrics) {
	t.Helper()
	for _, v := range []struct {
		c *prometheus.CounterVec
		n int
	}{{m.requests, 2}, {m.refused, 1}, {m.relays, 1}, {m.tries, 2}, {m.probes, 2}, {m.away, 1}, {m.audits, 1}, {m.bundles, 1}, {m.logins, 2}, {m.turned, 1}} {
		if _, err := v.c.GetMetricWithLabelValues(make([]string, v.n)...); err != nil {
			t.Error(err)
		}
	}
	m.seconds.WithLabelValues("x")
}
