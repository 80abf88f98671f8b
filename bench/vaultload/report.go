package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report is what was found.
type report struct {
	cpu    *cpuResult
	load   *load
	memory []memoryResult
}

// The targets of the project.
const (
	maxRatio      = 1.5
	maxP99        = 50 * time.Millisecond
	maxPerAccount = 400 // bytes
	maxStart      = 30 * time.Second
)

func us(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d.Nanoseconds())/1e3) }

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Nanoseconds())/1e6) }

func median[T int | float64 | time.Duration](list []T) T {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "**NOT met**"
}

func (t *report) write(w io.Writer, machine string, s scale, quick bool) {
	fmt.Fprintf(w, "# The vault: processor time, load, memory, %s\n\n", time.Now().Format(time.DateOnly))
	fmt.Fprintf(w, "Made by `make bench-vault`. %s\n\n", machine)
	if quick {
		fmt.Fprint(w, "**A quick trial: these numbers say only that the benchmark works.**\n\n")
	}
	t.writeTargets(w)
	t.cpu.write(w)
	t.load.write(w, s)
	writeMemory(w, t.memory)
}

func (t *report) writeTargets(w io.Writer) {
	fmt.Fprint(w, "## What was to be reached\n\n| what | target | found | |\n|---|--:|--:|---|\n")
	ratio := median(t.cpu.ratios())
	fmt.Fprintf(w, "| processor time of a recovery ÷ sum of its primitives | at most %.1f | %.2f | %s |\n", maxRatio, ratio, verdict(ratio <= maxRatio))
	best := 0.0
	for _, r := range t.load.runs_ {
		if r.offered == 0 {
			best = max(best, r.rate())
		}
		if r.offered > 0 {
			p99 := percentile(r.recovery, .99)
			fmt.Fprintf(w, "| p99 of a recovery at %s, %.0f/s, both answers rounded up to 20 ms | under %s ms | %s ms | %s |\n", r.name, r.offered, ms(maxP99), ms(p99), verdict(p99 < maxP99))
		}
	}
	fmt.Fprintf(w, "| recoveries a second, durable, generator on the same machine | %d | %.0f | %s |\n", targetRate, best, verdict(best >= targetRate))
	for _, m := range t.memory {
		fmt.Fprintf(w, "| memory per account, %d accounts | at most %d bytes | %d bytes | %s |\n", m.accounts, maxPerAccount, m.perAccount, verdict(m.perAccount <= maxPerAccount))
		fmt.Fprintf(w, "| start-up, %d accounts | at most %.0f s | %.1f s | %s |\n", m.accounts, maxStart.Seconds(), m.start.Seconds(), verdict(m.start <= maxStart))
	}
	fmt.Fprintln(w)
}

// ratios are one a round.
func (r *cpuResult) ratios() (list []float64) {
	for i, d := range r.recovery {
		list = append(list, float64(d)/float64(r.sum(i)))
	}
	return list
}

func (r *cpuResult) write(w io.Writer) {
	fmt.Fprintf(w, "## (a) Processor time of a recovery\n\nA recovery is an Attempt and a Prove, from 8192 sealed bytes to 4096 each, by `vaultd.Server.Answer` on a real disk, without HTTP and without the wait for the quantum; %d recoveries a round, %d requests at a time. ", r.recoveries, inFlight)
	fmt.Fprint(w, "Processor time is getrusage's of the process, user and system, garbage collection included. The primitives are called alone in the same round, on all processors at once; a commit is one `replica.Propose` of an entry of the same size to a machine that does nothing, as many at a time.\n\n")
	fmt.Fprint(w, "| | in one recovery | µs, median | µs, each round |\n|---|--:|--:|---|\n")
	for _, p := range r.primitives {
		fmt.Fprintf(w, "| %s | %d | %s | %s |\n", p.name, p.count, us(median(p.each)), list(p.each))
	}
	var sums []time.Duration
	for i := range r.recovery {
		sums = append(sums, r.sum(i))
	}
	fmt.Fprintf(w, "| **sum of the primitives** | | %s | %s |\n| **a recovery** | | %s | %s |\n", us(median(sums)), list(sums), us(median(r.recovery)), list(r.recovery))
	fmt.Fprintf(w, "| **ratio** | | %.2f |", median(r.ratios()))
	for _, x := range r.ratios() {
		fmt.Fprintf(w, " %.2f", x)
	}
	fmt.Fprint(w, " |\n\n")
}

func list(d []time.Duration) string {
	var text []string
	for _, x := range d {
		text = append(text, us(x))
	}
	return strings.Join(text, ", ")
}

func (l *load) write(w io.Writer, s scale) {
	fmt.Fprintf(w, "## (b) Load\n\nOne `vaultd serve` with its default limits (quantum 20 ms), HTTPS on loopback, %d accounts, %d s a run. Every attempt and every proof is durable and anchored before it is answered. The generator is on the same machine and takes part of it; requests are made before and answers opened after, so that it costs little. ", l.people, s.seconds)
	fmt.Fprint(w, "At a rate, a recovery's time runs from when it was due. vaultd answers at multiples of 20 ms, so a recovery of two requests takes 40 ms at the least.\n\n")
	fmt.Fprint(w, "| load | clients | recoveries | per second | p50 ms | p95 ms | p99 ms | request p50 | p95 | p99 ms | vaultd µs each | generator µs each |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range l.runs_ {
		name := r.name
		if r.offered > 0 {
			name = fmt.Sprintf("%s, %.0f/s", r.name, r.offered)
		}
		fmt.Fprintf(w, "| %s | %d | %d | %.0f", name, r.clients, r.done, r.rate())
		for _, d := range [][]time.Duration{r.recovery, r.request} {
			fmt.Fprintf(w, " | %s | %s | %s", ms(percentile(d, .5)), ms(percentile(d, .95)), ms(percentile(d, .99)))
		}
		n := time.Duration(r.done)
		fmt.Fprintf(w, " | %s | %s |\n", us(r.vault/n), us(r.generator/n))
	}
	fmt.Fprintf(w, "\nPeak memory of vaultd: %d MiB. \"each\" is processor time per recovery, of the whole process: for vaultd HTTP, TLS and garbage collection included.\n\n", l.peak)
}

// describe says what machine and code this is.
func describe(work string) string {
	output := func(name string, args ...string) string {
		b, err := exec.Command(name, args...).Output()
		if err != nil {
			return "?"
		}
		return strings.TrimSpace(string(b))
	}
	cpu := "?"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, "model name"); ok {
				cpu = strings.TrimLeft(strings.TrimSpace(rest), ": \t")
				break
			}
		}
	}
	commit := output("git", "rev-parse", "--short", "HEAD")
	if output("git", "status", "--porcelain") != "" {
		commit += " with uncommitted changes"
	}
	return fmt.Sprintf("Machine: %d cores, %s, Linux %s, %s, %s. Commit: %s.", runtime.NumCPU(), cpu, output("uname", "-r"), output("stat", "-f", "-c", "%T", work), runtime.Version(), commit)
}
