package vaultd

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"keepsake.example/replica"
)

// metrics are what the operator sees. The operator also runs chatd, and knows
// which account asks when: a counter of outcomes, read every second, would tell
// how single attempts ended. So nothing here tells a committed attempt from
// another commit, a refusal by a record from an ok, or counts destroyed records
// (decision 0023).
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	refused  *prometheus.CounterVec // connections
	tokens   prometheus.Counter
	busy     prometheus.Counter
	seconds  prometheus.Histogram
	commit   prometheus.Histogram
	// Of chatd, open now.
	connections prometheus.Gauge
	// Of a fleet with a key in its devices. One of these for each request of the second suite,
	// refused or not.
	device       prometheus.Histogram
	deviceFailed prometheus.Counter
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vaultd_requests_total", Help: "Requests by what became of the sealed block: answered, key (no such channel key), unopened, unavailable.",
		}, []string{"result"}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Name: "vaultd_connections", Help: "Open connections of chatd, or of strangers."}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vaultd_connections_refused_total", Help: "Connections closed at once, by which limit: all, or address.",
		}, []string{"reason"}),
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
		device: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "vaultd_device_seconds", Help: "Time that the device took, waiting for it included, for each request that asks it, however that ended.",
			Buckets: prometheus.ExponentialBuckets(.0005, 2, 14),
		}),
		deviceFailed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "vaultd_device_failures_total", Help: "Requests for which the device had no answer, or none in time.",
		}),
	}
	for _, result := range []string{"answered", "key", "unopened", "unavailable"} {
		m.requests.WithLabelValues(result)
	}
	for _, reason := range []string{"all", "address"} { // there from the start: else its first rise is none
		m.refused.WithLabelValues(reason)
	}
	m.registry.MustRegister(m.requests, m.connections, m.refused, m.tokens, m.busy, m.seconds, m.commit, m.device, m.deviceFailed,
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

// publish registers the numbers that are asked for when metrics are read.
func (s *Server) publish() {
	g := s.metrics.gauge
	root := func() replica.Status { return s.root().replica.Status() }
	g("vaultd_ready", "1 while requests are answered.", nil, func() float64 { return oneIf(s.ready()) })
	g("vaultd_draining", "1 while requests are turned away because the operator said so.", nil, func() float64 { return oneIf(s.draining.Load()) })
	g("vaultd_halted", "1 when a replica has halted: look into the log.", nil, func() float64 { return oneIf(s.halted() != nil) })
	g("vaultd_accounts", "Records and tombstones, rounded up to a thousand.", nil, func() float64 { n, _ := s.capacity(); return float64(n) })
	g("vaultd_account_bytes", "Memory for accounts, rounded up to a MiB.", nil, func() float64 { _, n := s.capacity(); return float64(n) })
	g("vaultd_in_flight", "Requests being worked.", nil, func() float64 { return float64(s.gate.inFlight()) })
	g("vaultd_queued", "Requests waiting for a place.", nil, func() float64 { return float64(s.gate.waiting.Load()) })
	g("vaultd_time_seconds", "The vault's time, that of the quorum, Unix seconds.", nil, func() float64 { return float64(s.now()) / 1000 })
	g("vaultd_clock_skew_seconds", "By how much this machine's time is ahead of the quorum's.", nil, func() float64 { return s.skew().Seconds() })
	g("vaultd_channel_key_end_seconds", "When the last channel key ends, Unix seconds.", nil, func() float64 { return float64(s.keys.longest()) / 1000 })
	g("vaultd_bundle_serial", "Serial of the bundle.", nil, func() float64 { _, n := s.keys.signed(); return float64(n) })
	g("vaultd_roster_serial", "Changes of the fleet that were accepted.", nil, func() float64 { return float64(s.known.Load().Serial) })
	g("vaultd_log_bytes", "Bytes of the root group's log since the last checkpoint.", nil, func() float64 { return float64(root().LogBytes) })
	g("vaultd_applied_index", "Entries of the root group applied.", nil, func() float64 { return float64(root().Applied) })
	g("vaultd_anchor_counter", "Batches that the root group's anchor counted.", nil, func() float64 { return float64(root().Batch) })
	g("vaultd_anchor", "1; the label says what this machine counts on.", prometheus.Labels{"anchor": root().Anchor.Name}, func() float64 { return 1 })
	g("vaultd_checkpoint_failed", "1 when the last try to make a checkpoint failed.", nil, func() float64 { return oneIf(root().CheckpointError != nil) })
	if s.device != nil {
		g("vaultd_device_failing", "1 when the device failed the last time it was asked.", nil, func() float64 { return oneIf(s.device.failing.Load()) })
		g("vaultd_device_waiting", "Requests waiting for the device.", nil, func() float64 { return float64(s.device.gate.waiting.Load()) })
	}
	for _, w := range s.warns {
		name, _, _ := strings.Cut(w, ":")
		g("vaultd_insecure", "1 for each insecure choice.", prometheus.Labels{"choice": name}, func() float64 { return 1 })
	}
	s.metrics.registry.MustRegister(fleetMetrics{s})
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// fleetMetrics are the numbers of each group and member, of which there are now more
// and now fewer.
type fleetMetrics struct{ *Server }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	groupLeads   = describe("vaultd_group_leads", "1 where this member leads the group.", "group")
	groupLed     = describe("vaultd_group_led", "1 while a leader is known here.", "group")
	groupTerm    = describe("vaultd_group_term", "The term: how many elections there were.", "group")
	groupTime    = describe("vaultd_group_time_seconds", "The quorum's time, Unix seconds.", "group")
	groupApplied = describe("vaultd_group_applied_index", "Entries applied here.", "group")
	groupLog     = describe("vaultd_group_log_bytes", "Bytes of the log since the last checkpoint.", "group")
	groupDropped = describe("vaultd_group_messages_dropped", "Messages that were not taken: replayed, edited, not for this member, or no room.", "group")
	groupNoRoom  = describe("vaultd_group_no_room", "1 while there is no room for the log here: this member takes nothing new of the group.", "group")
	memberLag    = describe("vaultd_member_lag_entries", "Entries that the leader, this member, has and the other has not.", "group", "member")
	memberActive = describe("vaultd_member_active", "1 when the member was heard of within an election timeout.", "group", "member")
	memberVer    = describe("vaultd_member_version", "Version that the member told last, 0 before it was heard.", "group", "member")
	memberForgot = describe("vaultd_member_forgot", "Messages that showed this member, the leader, that the other lacks what it had acknowledged: its disk and anchor were put back.", "group", "member")
	linkUp       = describe("vaultd_link_up", "1 while both lanes to the member and its own to us are up.", "member")
	linkRTT      = describe("vaultd_link_rtt_seconds", "Last way to the member and back.", "member")
	linkQueued   = describe("vaultd_link_queued_bytes", "Messages that wait for the member.", "member")
	linkDropped  = describe("vaultd_link_messages_dropped", "Messages to the member that found no room or came too late.", "member")
)

// Describe says nothing, so that what there is may change.
func (fleetMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect tells the numbers as they are now.
func (f fleetMetrics) Collect(to chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for _, g := range f.groups.list() {
		st, group := g.replica.Status(), strconv.Itoa(int(g.number))
		tell(groupLeads, oneIf(st.Role == "leader"), group)
		tell(groupLed, oneIf(st.Leader != 0), group)
		tell(groupTerm, float64(st.Term), group)
		tell(groupTime, float64(st.QuorumTime)/1000, group)
		tell(groupApplied, float64(st.Applied), group)
		tell(groupLog, float64(st.LogBytes), group)
		tell(groupDropped, float64(st.Dropped), group)
		tell(groupNoRoom, oneIf(g.room() != nil), group)
		for _, m := range st.Members {
			member := strconv.FormatUint(m.Number, 10)
			tell(memberActive, oneIf(m.Active), group, member)
			tell(memberVer, float64(m.Version), group, member)
			tell(memberForgot, float64(m.Forgot), group, member)
			if st.Role == "leader" {
				tell(memberLag, float64(m.Lag), group, member)
			}
		}
	}
	links := f.links.Load()
	if links == nil {
		return
	}
	for _, l := range links.Status() {
		member := strconv.FormatUint(l.Number, 10)
		tell(linkUp, oneIf(l.Connected && l.Incoming), member)
		tell(linkRTT, l.RTT.Seconds(), member)
		tell(linkQueued, float64(l.Queued), member)
		tell(linkDropped, float64(l.Dropped), member)
	}
}
