package main

import (
	"fmt"
	"io"
	"time"
)

func (r *anchorResult) write(w io.Writer, machine string, quick bool) {
	fmt.Fprintf(w, "# Anchors, %s\n\nMade by `make bench-anchor`. %s\n\n", time.Now().Format(time.DateOnly), machine)
	if quick {
		fmt.Fprint(w, "**A quick trial: these numbers say only that the benchmark works.**\n\n")
	}
	fmt.Fprint(w, "No hardware is measured: swtpm and SoftHSM are programs on the same machine, and share its processors. What chips take is in `doc/hsm-tpm.md`, with its sources; an HSM on the network takes a round trip more. What is measured is what the adapters and the ledger do with them: how many commands a step is, what is shared.\n\n")
	r.writeAlone(w)
	r.writeLoads(w)
}

// of is the median over rounds of a figure of an adapter.
func (r *anchorResult) of(adapter string, figure func(*aloneResult) float64) float64 {
	var list []float64
	for _, one := range r.alone[adapter] {
		list = append(list, figure(one))
	}
	return median(list)
}

// ratio is the median over rounds of a figure to that of the first adapter in the same round.
func (r *anchorResult) ratio(adapter string, figure func(*aloneResult) float64) float64 {
	var list []float64
	for i, one := range r.alone[adapter] {
		list = append(list, figure(one)/figure(r.alone[adapters[0]][i]))
	}
	return median(list)
}

func (r *anchorResult) writeAlone(w io.Writer) {
	fmt.Fprintf(w, "## Alone\n\nOne group through the ledger: a step is a slot written and synced, and the device. Then %d groups at once, %d steps each, and the fleet key. Medians of %d rounds, the adapters in turn in each; the ratio is to %s in the same round.\n\n", r.scale.groups, r.scale.each, r.scale.rounds, title[adapters[0]])
	figures := []struct {
		name, form string
		of         func(*aloneResult) float64
	}{
		{"a step, p50, ms", "%.2f", func(o *aloneResult) float64 { return 1e3 * o.step.Seconds() }},
		{"a step, p99, ms", "%.2f", func(o *aloneResult) float64 { return 1e3 * o.late.Seconds() }},
		{"steps/s, one group", "%.0f", func(o *aloneResult) float64 { return 1 / o.step.Seconds() }},
		{"a turn of the epoch, p50, ms", "%.2f", func(o *aloneResult) float64 { return 1e3 * o.turn.Seconds() }},
		{"groups' steps/s, all at once", "%.0f", func(o *aloneResult) float64 { return o.groups }},
		{"groups' steps to one of the device", "%.1f", func(o *aloneResult) float64 { return o.shared }},
		{"an evaluation, p50, ms", "%.2f", func(o *aloneResult) float64 { return 1e3 * o.evaluate.Seconds() }},
		{"evaluations/s, one after another", "%.0f", func(o *aloneResult) float64 { return 1 / o.evaluate.Seconds() }},
		{"evaluations/s, eight at a time", "%.0f", func(o *aloneResult) float64 { return o.together }},
	}
	fmt.Fprint(w, "| |")
	for _, a := range adapters {
		fmt.Fprintf(w, " %s | ratio |", title[a])
	}
	fmt.Fprint(w, "\n|---|--:|--:|--:|--:|--:|--:|\n")
	for _, f := range figures {
		fmt.Fprintf(w, "| %s |", f.name)
		for _, a := range adapters {
			fmt.Fprintf(w, " "+f.form+" | %.2f |", r.of(a, f.of), r.ratio(a, f.of))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
}

func (r *anchorResult) writeLoads(w io.Writer) {
	fmt.Fprintf(w, "## Under a fleet's load\n\nProcesses of `vaultd serve`, every member on the same kind, quantum 0, %d clients on the same machine, as `make bench-fleet` does it; then at half of the fastest rate, for the latency that the anchor adds. The rows are in the order they were run; compare within three that follow each other.\n\n", r.scale.fleet.clients)
	fmt.Fprint(w, "| members | anchor | registrations/s | recoveries/s | ratio | at half: rate | a phase, p50, ms | p99, ms | added, p50, ms |\n|--:|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for i, base := range r.loads[adapters[0]] {
		for _, a := range adapters {
			one := r.loads[a][i]
			fmt.Fprintf(w, "| %d | %s | %.0f | %.0f | %.2f | %.0f | %s | %s | %s |\n", one.replicas, title[a], one.registrations, one.fast.rate(), one.fast.rate()/base.fast.rate(),
				one.half.rate(), ms(percentile(one.half.request, .5)), ms(percentile(one.half.request, .99)), ms(percentile(one.half.request, .5)-percentile(base.half.request, .5)))
		}
	}
	fmt.Fprintln(w)
}
