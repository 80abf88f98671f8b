package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"
)

// The targets for fleets.
const (
	overRoundTrip = 10 * time.Millisecond
	maxOutage     = 2 * time.Second
	medianOutage  = time.Second
)

func (r *fleetResult) write(w io.Writer, machine string, quick bool) {
	fmt.Fprintf(w, "# A fleet of five, %s\n\nMade by `make bench-fleet`. %s\n\n", time.Now().Format(time.DateOnly), machine)
	if quick {
		fmt.Fprint(w, "**A quick trial: these numbers say only that the benchmark works.**\n\n")
	}
	fmt.Fprint(w, "Every member is a `vaultd serve` of its own on the one machine that the generator of the load runs on too, with a software anchor, founded and joined with the operators' commands. A recovery is an Attempt and a Prove, two phases; each is durable and anchored on a majority before it is answered. Requests are sealed before and answers opened after, but for registrations and after the loss of a leader. ")
	fmt.Fprint(w, "vaultd answers at multiples of a quantum after the arrival, 20 ms by default, which hides how a request ended (`spec/vault-protocol.md` §12).\n\n")
	r.writeTargets(w)
	r.writeNear(w)
	r.writeWide(w)
	r.writeOutages(w)
	r.writeCaughtUp(w)
}

func (r *fleetResult) writeTargets(w io.Writer) {
	fmt.Fprint(w, "## What was to be reached\n\n| what | target | found | |\n|---|--:|--:|---|\n")
	row := func(what, target string, found time.Duration, met bool) {
		fmt.Fprintf(w, "| %s | %s ms | %s ms | %s |\n", what, target, ms(found), verdict(met))
	}
	for _, x := range r.wide {
		if x.asked == x.leader {
			found, bound := percentile(x.request, .5), majority(x.leader)+overRoundTrip
			row("a phase, asked at the leader, p50: one majority round trip and 10 ms; "+x.setting(), "at most "+ms(bound), found, found <= bound)
		}
	}
	for _, kind := range services {
		d := sorted(r.outages, kind.of)
		half, all := percentile(d, .5), d[len(d)-1]
		row(fmt.Sprintf("service is back after the leader's loss, %s, p50 of %d", kind.name, len(d)), "under "+ms(medianOutage), half, half < medianOutage)
		row("the longest of them", "under "+ms(maxOutage), all, all < maxOutage)
	}
	m := majority(0)
	fmt.Fprintf(w, "\nThe rows with different quanta are judged each by itself. A phase takes a multiple of the quantum: the first of the default's, %v, that holds a round trip of %s ms is %s ms, and the target leaves %s. ", usual, ms(m), ms(roundUp(m, usual)), ms(m+overRoundTrip))
	fmt.Fprint(w, "At other distances the default rounds up by more or by less, 20 ms at most. A default short enough to meet the target anywhere would show who times answers which of them waited for disks, so it stays; `doc/vaultd.md` (\"Watch it\") tells operators which quantum to set for long ways.\n\n")
}

// setting is the quantum of a run, and whose choice that is.
func (x *wideResult) setting() string {
	switch x.quantum {
	case 0:
		return "**without a quantum**, which no fleet should run"
	case usual:
		return fmt.Sprintf("**quantum %v, the default**", x.quantum)
	}
	return fmt.Sprintf("**quantum %v**, set for the round trip", x.quantum)
}

// roundUp is the first multiple of a quantum that is not under d.
func roundUp(d, quantum time.Duration) time.Duration { return (d + quantum - 1) / quantum * quantum }

// outageKind is one of the times of an outage.
type outageKind struct {
	name string
	of   func(outage) time.Duration
}

var services = []outageKind{
	{"first answer", func(o outage) time.Duration { return o.first }},
	{"answers everywhere", func(o outage) time.Duration { return o.last }},
}

func sorted(list []outage, of func(outage) time.Duration) (d []time.Duration) {
	for _, o := range list {
		d = append(d, of(o))
	}
	slices.Sort(d)
	return d
}

func (r *fleetResult) writeNear(w io.Writer) {
	s := r.scale
	fmt.Fprintf(w, "## Five beside one, on one machine\n\nIn turn, %d of each, quantum %v: %d accounts are registered by 32 clients; %d recoveries are made as fast as they go by %d clients that are spread over all members; then recoveries fall due at half of that rate for %d s, and their time runs from when they are due. ", len(r.near)/2, usual, s.people, s.recoveries, s.clients, s.seconds)
	fmt.Fprintf(w, "Processor time is that of all members together, per recovery, as fast as they go. Five on one machine share its %d cores with the generator: what counts is the ratio of processor time, and that a real fleet has five machines.\n\n", runtime.NumCPU())
	fmt.Fprint(w, "| replicas | registrations/s | recoveries/s | p50 ms | p95 | p99 | vaultd µs each | at half: per second | p50 ms | p95 | p99 |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	cost := map[int][]float64{}
	for _, x := range r.near {
		each := x.fast.vault / time.Duration(x.fast.done)
		cost[x.replicas] = append(cost[x.replicas], float64(each))
		fmt.Fprintf(w, "| %d | %.0f | %.0f | %s | %s | %s | %s | %.0f | %s | %s | %s |\n", x.replicas, x.registrations, x.fast.rate(),
			at(x.fast.recovery, .5), at(x.fast.recovery, .95), at(x.fast.recovery, .99), us(each), x.half.rate(), at(x.half.recovery, .5), at(x.half.recovery, .95), at(x.half.recovery, .99))
	}
	fmt.Fprintf(w, "\nProcessor time per recovery over all five ÷ that of the one (medians of %d): **%.2f**.\n\n", len(cost[5]), median(cost[5])/median(cost[1]))
	fmt.Fprintf(w, "Published for five HSMs: 240 recoveries a second (Juicebox). Not like for like: theirs compute inside HSMs, slow and tamper-proof, in three phases, each of which waits up to 100 ms for an NVRAM; ours here are processes that share %d cores and a disk with each other and with the generator, in two phases, with an anchor of software, which protects nothing.\n\n", runtime.NumCPU())
}

func at(d []time.Duration, p float64) string { return ms(percentile(d, p)) }

func (r *fleetResult) writeWide(w io.Writer) {
	fmt.Fprintf(w, "## Data centers apart\n\nBetween members a relay of TCP connections delays every byte that goes to or comes from a member: data centers 1 to %d are %v away, one way, and from one to another it is the sum of both: ways there and back of %s to %s ms. A majority is %s ms away and back from data center 1. Clients ask beside the member that they ask: no way is added there. ", len(farness), farness, ms(farness[0]+farness[1]), ms(farness[3]+farness[4]), ms(majority(0)))
	fmt.Fprint(w, "20 recoveries fall due in a second. A member that does not lead passes the command to the leader and learns the commit from it, which is one way there and back more.\n\n")
	fmt.Fprint(w, "| | recoveries | a phase: p50 ms | p95 | p99 | a recovery: p50 ms | p95 | p99 |\n|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, x := range r.wide {
		fmt.Fprintf(w, "| %s | %d | %s | %s | %s | %s | %s | %s |\n", x.name, x.done, at(x.request, .5), at(x.request, .95), at(x.request, .99), at(x.recovery, .5), at(x.recovery, .95), at(x.recovery, .99))
	}
	fmt.Fprintln(w)
}

func (r *fleetResult) writeOutages(w io.Writer) {
	fmt.Fprintf(w, "## The loss of the leader\n\nData centers as above, quantum %v. All times are from SIGKILL to the leader's process. \"Another leads\" is when one of the four others first says so in its metrics, in a later term; each is asked again %v after its answer. When the process has ended, one attempt is asked for at each of the four, the same bytes again there 20 ms after each refusal (chatd would ask the next member too). ", usual, pollEvery)
	fmt.Fprint(w, "\"First answer\" is when the first of them was answered, \"answers everywhere\" when all were. Each attempt is of another account. The member that was killed is back before the next.\n\n")
	fmt.Fprint(w, "| | p50 ms | p95 | longest |\n|---|--:|--:|--:|\n")
	for _, x := range append([]outageKind{{"another leads (time to elect)", func(o outage) time.Duration { return o.elected }}}, services...) {
		d := sorted(r.outages, x.of)
		fmt.Fprintf(w, "| %s, %d times | %s | %s | %s |\n", x.name, len(d), at(d, .5), at(d, .95), ms(d[len(d)-1]))
	}
	fmt.Fprint(w, "\nOf so few the p95 is the longest.\n\n")
}

func (r *fleetResult) writeCaughtUp(w io.Writer) {
	c := r.caughtUp
	fmt.Fprintf(w, "## Catching up\n\nA member without anything joins, as a learner, one that leads alone and has %d accounts with an envelope of 141 bytes and no history; on the same machine and disk, without a way between and without load. From the operator's first command until it answers `/readyz` with all of them, in which it gets the picture in sealed chunks, keeps it, reads it, writes it as its own checkpoint and indexes it: ", c.accounts)
	fmt.Fprintf(w, "**%.1f s**, %.0f MB of files of the new one, peak memory %d MiB of the one that gives, %d MiB of the one that takes.\n", c.took.Seconds(), float64(c.files)/1e6, c.peak[0], c.peak[1])
}
