package chatd

import (
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"keepsake.example/chatd/nearest"
	"keepsake.example/internal/crowd"
)

// metrics are registered where they are made: one that was made is published.
// No label has a value that clients choose.
type metrics struct {
	requests *prometheus.CounterVec   // route, status
	seconds  *prometheus.HistogramVec // route
	refused  *prometheus.CounterVec   // reason
	relays   *prometheus.CounterVec   // outcome
	relaying prometheus.Gauge
	tries    *prometheus.CounterVec // vault, outcome
	probes   *prometheus.CounterVec // vault, outcome
	away     *prometheus.CounterVec // vault
	audits   *prometheus.CounterVec // outcome
	auditing prometheus.Histogram
	bundles  *prometheus.CounterVec // outcome
	logins   *prometheus.CounterVec // step, outcome
	open     prometheus.Gauge
	turned   *prometheus.CounterVec // reason
	panics   prometheus.Counter

	registry *prometheus.Registry
}

// buckets go from a refusal to the longest relay, in seconds.
var buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15}

func newMetrics() *metrics {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	f := promauto.With(r)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Namespace: "chatd", Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Namespace: "chatd", Name: name, Help: help})
	}
	m := &metrics{
		registry: r,
		requests: counter("requests_total", "Requests answered, by route and status.", "route", "status"),
		seconds:  f.NewHistogramVec(prometheus.HistogramOpts{Namespace: "chatd", Name: "request_seconds", Help: "Time to the answer.", Buckets: buckets}, []string{"route"}),
		refused:  counter("refused_total", "Requests refused, by reason.", "reason"),
		relays:   counter("relays_total", "Requests relayed, by how that ended.", "outcome"),
		relaying: gauge("relays_in_flight", "Requests being relayed."),
		tries:    counter("tries_total", "Requests sent to a vaultd, by its place in the configuration and how that ended.", "vault", "outcome"),
		probes:   counter("probes_total", "Probes of a vaultd, by its place in the configuration and how that ended.", "vault", "outcome"),
		away:     counter("vault_away_total", "Times a vaultd began to be passed over, because it failed or said that it is unavailable.", "vault"),
		audits:   counter("audit_lines_total", "Audit lines, by whether they became durable.", "outcome"),
		auditing: f.NewHistogram(prometheus.HistogramOpts{Namespace: "chatd", Name: "audit_seconds", Help: "Time until an audit line was durable.", Buckets: buckets}),
		bundles:  counter("bundle_fetches_total", "Fetches of the fleet's bundle, by how they ended.", "outcome"),
		logins:   counter("logins_total", "Steps of logins at the built-in issuer, by how they ended.", "step", "outcome"),
		open:     gauge("connections", "Open client connections."),
		turned:   counter("connections_refused_total", "Client connections closed at once, by reason.", "reason"),
		panics:   f.NewCounter(prometheus.CounterOpts{Namespace: "chatd", Name: "internal_errors_total", Help: "Requests that met a bug."}),
	}
	m.begin()
	return m
}

// begin publishes what alarms ask for before it first happens: a rise from nothing to one is no
// rise to who asks for rises.
func (m *metrics) begin() {
	for _, reason := range []string{"all", "address"} {
		m.turned.WithLabelValues(reason)
	}
	m.relays.WithLabelValues("unanswered")
	m.audits.WithLabelValues(outcome(errors.New("")))
}

// crowd counts client connections.
func (m *metrics) crowd() crowd.Watch {
	return crowd.Watch{
		Open:    func(now int) { m.open.Set(float64(now)) },
		Refused: func(reason string) { m.turned.WithLabelValues(reason).Inc() },
	}
}

// watch publishes what is asked at each look.
func (m *metrics) watch(name, help string, value func() float64) {
	promauto.With(m.registry).NewGaugeFunc(prometheus.GaugeOpts{Namespace: "chatd", Name: name, Help: help}, value)
}

// watchVault publishes how one vaultd stands.
func (m *metrics) watchVault(label string, status func() nearest.Status) {
	f, labels := promauto.With(m.registry), prometheus.Labels{"vault": label}
	m.away.WithLabelValues(label)
	gauge := func(name, help string, value func(nearest.Status) float64) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "chatd", Name: name, Help: help, ConstLabels: labels}, func() float64 { return value(status()) })
	}
	gauge("vault_up", "0 while a vaultd is passed over.", func(s nearest.Status) float64 {
		if s.Away {
			return 0
		}
		return 1
	})
	gauge("vault_probe_seconds", "Smoothed time of a vaultd's probes.", func(s nearest.Status) float64 { return s.Near.Seconds() })
	gauge("vault_request_seconds", "Smoothed time of a vaultd's answers within the last minute, 0 without one.", func(s nearest.Status) float64 { return s.Took.Seconds() })
	gauge("vault_requests_in_flight", "Requests under way to a vaultd.", func(s nearest.Status) float64 { return float64(s.Flying) })
	f.NewCounterFunc(prometheus.CounterOpts{
		Namespace: "chatd", Name: "vault_passed_over_total", Help: "Requests that went elsewhere because a vaultd was away.", ConstLabels: labels,
	}, func() float64 { return float64(status().Passed) })
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry, Timeout: 10 * time.Second})
}

func outcome(err error) string {
	if err != nil {
		return "failed"
	}
	return "ok"
}
