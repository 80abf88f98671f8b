package main

import (
	"fmt"
	"io"
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
	fmt.Fprint(w, "Every member is a `vaultd serve` of its own on the one machine that the generator of the load runs on too, with a software anchor, founded and joined with the operators' commands. A recovery is an Attempt and a Prove; each is durable and anchored on a majority before it is answered.\n\n")
	r.writeTargets(w)
	r.writeNear(w)
	r.writeWide(w)
	r.writeOutages(w)
	r.writeCaughtUp(w)
}

func (r *fleetResult) writeTargets(w io.Writer) {
	fmt.Fprint(w, "## What was to be reached\n\n| what | target | found | |\n|---|--:|--:|---|\n")
	found, bound := percentile(r.wide[0].request, .5), r.majority(r.leader)+overRoundTrip
	fmt.Fprintf(w, "| a phase, asked at the leader, p50: one majority round trip and 10 ms | %s ms | %s ms | %s |\n", ms(bound), ms(found), verdict(found <= bound))
	first := firsts(r.outages)
	half, all := median(first), slices.Max(first)
	fmt.Fprintf(w, "| service is back after the leader's loss, p50 of %d | under %s ms | %s ms | %s |\n", len(first), ms(medianOutage), ms(half), verdict(half < medianOutage))
	fmt.Fprintf(w, "| the longest of them | under %s ms | %s ms | %s |\n\n", ms(maxOutage), ms(all), verdict(all < maxOutage))
}

func firsts(list []outage) (d []time.Duration) {
	for _, o := range list {
		d = append(d, o.first)
	}
	return d
}

// majority is the round trip from a member to the second nearest of the four others:
// with those two it is a majority of five.
func (r *fleetResult) majority(from int) time.Duration {
	var ways []time.Duration
	for i := range farness {
		if i != from {
			ways = append(ways, roundTrip(from, i))
		}
	}
	slices.Sort(ways)
	return ways[1]
}

func (r *fleetResult) writeNear(w io.Writer) {
	fmt.Fprintf(w, "## Five beside one, on one machine\n\nIn turn, %d rounds, %d s a run, %d clients spread over all members, quantum 20 ms. Processor time is that of all members together, per recovery. Five on one machine share its two cores: what counts is the ratio of processor time, and that a real fleet has five machines.\n\n", len(r.near)/2, r.scale.seconds, r.scale.clients)
	fmt.Fprint(w, "| replicas | registrations/s | recoveries/s | p50 ms | p95 | p99 | vaultd µs each | at half: per second | p50 ms | p95 | p99 |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	cost := map[int][]float64{}
	for _, x := range r.near {
		each := x.fast.vault / time.Duration(x.fast.done)
		cost[x.replicas] = append(cost[x.replicas], float64(each))
		fmt.Fprintf(w, "| %d | %.0f | %.0f | %s | %s | %s | %s | %.0f | %s | %s | %s |\n", x.replicas, x.registrations, x.fast.rate(),
			at(x.fast.recovery, .5), at(x.fast.recovery, .95), at(x.fast.recovery, .99), us(each), x.half.rate(), at(x.half.recovery, .5), at(x.half.recovery, .95), at(x.half.recovery, .99))
	}
	fmt.Fprintf(w, "\nProcessor time per recovery over all five ÷ that of the one (medians): **%.2f**.\n\n", median(cost[5])/median(cost[1]))
	fmt.Fprint(w, "Published for five HSMs: 240 recoveries a second (Juicebox). Not like for like: theirs compute inside HSMs, in three phases, each of which waits up to 100 ms for an NVRAM; ours here are processes that share two cores of a virtual machine and a disk, with an anchor of software.\n\n")
}

func at(d []time.Duration, p float64) string { return ms(percentile(d, p)) }

func (r *fleetResult) writeWide(w io.Writer) {
	fmt.Fprintf(w, "## Data centers apart\n\nA relay of TCP connections in front of each member delays every byte, by %v one way: ways there and back of %s to %s ms. 20 recoveries a second. The leader is in data center %d; from there a majority is %s ms away and back. A member that does not lead passes the command to the leader and learns the commit from it, which is one way there and back more.\n\n", farness, ms(farness[0]+farness[1]), ms(farness[3]+farness[4]), r.leader+1, ms(r.majority(r.leader)))
	fmt.Fprint(w, "| | recoveries | a phase: p50 ms | p95 | p99 | a recovery: p50 ms | p95 | p99 |\n|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, x := range r.wide {
		fmt.Fprintf(w, "| %s | %d | %s | %s | %s | %s | %s | %s |\n", x.name, x.done, at(x.request, .5), at(x.request, .95), at(x.request, .99), at(x.recovery, .5), at(x.recovery, .95), at(x.recovery, .99))
	}
	fmt.Fprintln(w)
}

func (r *fleetResult) writeOutages(w io.Writer) {
	fmt.Fprint(w, "## The loss of the leader\n\nData centers as above. SIGKILL to the leader's process; from that moment an attempt is asked for at each of the four others, the same request again and again as chatd does. \"First\" is when the first of them answered, \"everywhere\" when all had. The member that was killed is back before the next.\n\n")
	fmt.Fprint(w, "| | p50 ms | p95 | longest |\n|---|--:|--:|--:|\n")
	for _, x := range []struct {
		name string
		of   func(outage) time.Duration
	}{{"first", func(o outage) time.Duration { return o.first }}, {"everywhere", func(o outage) time.Duration { return o.last }}} {
		var d []time.Duration
		for _, o := range r.outages {
			d = append(d, x.of(o))
		}
		slices.Sort(d)
		fmt.Fprintf(w, "| %s, %d times | %s | %s | %s |\n", x.name, len(d), at(d, .5), at(d, .95), ms(d[len(d)-1]))
	}
	fmt.Fprintln(w)
}

func (r *fleetResult) writeCaughtUp(w io.Writer) {
	c := r.caughtUp
	fmt.Fprintf(w, "## Catching up\n\nA member without anything joins one with %d accounts, on the same machine and disk: from the operator's first command until it answers `/readyz`, in which it gets the picture in sealed chunks, keeps it, reads it, writes it as its own checkpoint and indexes it: **%.1f s**, %.0f MB of files, peak memory %d MiB of the one that gives, %d MiB of the one that takes.\n", c.accounts, c.took.Seconds(), float64(c.picture)/1e6, c.peak[0], c.peak[1])
}
