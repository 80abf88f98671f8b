package vaultd

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics are what the operator sees. The operator also runs chatd, and knows
// which account asks when: a counter of outcomes, read every second, would tell
// how single attempts ended. So nothing here tells a committed attempt from
// another commit, a refusal by a record from an ok, or counts destroyed records
// (decision 0023).
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	tokens   prometheus.Counter
	busy     prometheus.Counter
	seconds  prometheus.Histogram
	commit   prometheus.Histogram
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vaultd_requests_total", Help: "Requests by what became of the sealed block: answered, key (no such channel key), unopened, unavailable.",
		}, []string{"result"}),
		tokens: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "vaultd_tokens_refused_total", Help: "Requests whose token or binding was refused. Many at once: the issuer's keys or audience are set up wrongly.",
		}),
		busy: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "vaultd_busy_total", Help: "Requests answered busy: no commit in time, or too many of one account.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "vaultd_answer_seconds", Help: "Time from arrival to answer, rounded up to the quantum as the relay sees it.",
			Buckets: []float64{.005, .010, .021, .041, .061, .081, .101, .201, .501, 1, 2, 5, 10},
		}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "vaultd_commit_seconds", Help: "Time from proposal to durable, anchored and applied.",
			Buckets: prometheus.ExponentialBuckets(.0005, 2, 14),
		}),
	}
	for _, result := range []string{"answered", "key", "unopened", "unavailable"} {
		m.requests.WithLabelValues(result)
	}
	m.registry.MustRegister(m.requests, m.tokens, m.busy, m.seconds, m.commit,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) answered(err error, took time.Duration) {
	result := "unavailable"
	switch {
	case err == nil:
		result = "answered"
		m.seconds.Observe(took.Seconds())
	case errors.Is(err, ErrKey):
		result = "key"
	case errors.Is(err, ErrRequest):
		result = "unopened"
	}
	m.requests.WithLabelValues(result).Inc()
}

// gauge registers a number that is asked for when the metrics are read.
func (m *metrics) gauge(name, help string, labels prometheus.Labels, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value))
}
