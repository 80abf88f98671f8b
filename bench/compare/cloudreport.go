package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// cloudTarget is one line of what Keepsake set out to reach over a network.
type cloudTarget struct {
	what  string
	limit float64
	value func(b *cloudBench, way string, round int) (float64, bool)
}

// cloudTargets are issue 6's.
var cloudTargets = []cloudTarget{
	{"first backup: wall time ÷ the fastest other's", 1, againstFastest(first, seconds)},
	{"day 2: wall time ÷ the fastest other's", 0.5, againstFastest(day2, seconds)},
	{"day 2: requests ÷ those of the fastest other", 1, againstFastest(day2, func(r cloudResult) float64 { return float64(r.total()) })},
	{"restore: wall time ÷ the fastest other's", 1, againstFastest(restore, seconds)},
}

func seconds(r cloudResult) float64 { return r.seconds }

// againstFastest is Keepsake's value over that of the other that was fastest in the
// same round.
func againstFastest(s step, value func(cloudResult) float64) func(*cloudBench, string, int) (float64, bool) {
	return func(b *cloudBench, way string, round int) (float64, bool) {
		var ours, fastest *cloudResult
		for i, r := range b.results {
			switch {
			case r.way != way || r.step != s || r.round != round:
			case r.tool == "keepsake":
				ours = &b.results[i]
			case fastest == nil || r.seconds < fastest.seconds:
				fastest = &b.results[i]
			}
		}
		if ours == nil || fastest == nil || value(*fastest) == 0 {
			return 0, false
		}
		return value(*ours) / value(*fastest), true
	}
}

func (b *cloudBench) report(w io.Writer, s surroundings) {
	p := printer{w}
	p.line("# Backup of a chat history to S3: Keepsake beside other tools, %s\n", time.Now().Format(time.DateOnly))
	p.line("Made by `make bench-cloud`. Machine: %s. Commit: %s. Server: %s.\n", s.machine, strings.ReplaceAll(s.commit, "\n", " "), b.server)
	p.line("History: day 1 is %s; truly new on day 2 is %.1f MB.\n", s.history, mb(b.new.Total))
	for _, note := range s.notes {
		p.line("* %s", note)
	}
	for _, w := range b.ways {
		if rounds := b.done(w.id); rounds > 0 {
			p.line("\n## A server %s\n", w.name)
			b.reportTargets(p, w, rounds)
			b.reportMedians(p, w)
			b.reportRounds(p, w, rounds)
		}
	}
	b.reportMethod(p)
}

// done is how many rounds there are results of.
func (b *cloudBench) done(way string) (rounds int) {
	for _, r := range b.results {
		if r.way == way {
			rounds = max(rounds, r.round+1)
		}
	}
	return rounds
}

func (b *cloudBench) reportTargets(p printer, w way, rounds int) {
	p.line("Rounds: %d. Each ratio is taken within a round; the median of the rounds decides.\n", rounds)
	p.line("| what | at most | median | range | |\n|---|--:|--:|--:|---|")
	for _, t := range cloudTargets {
		var values []float64
		for round := range rounds {
			if v, ok := t.value(b, w.id, round); ok {
				values = append(values, v)
			}
		}
		p.line("%s", judge(t.what, t.limit, "", values))
	}
}

func (b *cloudBench) reportMedians(p printer, w way) {
	p.line("\nMedians, seconds of wall time; requests and megabytes sent on day 2; the biggest process:\n")
	p.line("| tool | first backup | nothing changed | day 2 | restore | requests, first backup | requests, day 2 | requests, restore | MB up, day 2 | peak MiB |")
	p.line("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	requests := func(r cloudResult) float64 { return float64(r.total()) }
	for _, t := range b.tools {
		cell := func(format string, value func(cloudResult) float64, s step) string {
			return b.cell(w, t, format, value, s)
		}
		p.line("| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |", t.name,
			cell("%.2f", seconds, first), cell("%.2f", seconds, again), cell("%.2f", seconds, day2), cell("%.2f", seconds, restore),
			cell("%.0f", requests, first), cell("%.0f", requests, day2), cell("%.0f", requests, restore),
			cell("%.1f", func(r cloudResult) float64 { return mb(r.up) }, day2), cell("%.0f", func(r cloudResult) float64 { return r.peakMiB }, first))
	}
}

// cell is a tool's median over the rounds; nothing where nothing was counted.
func (b *cloudBench) cell(w way, t tool, format string, value func(cloudResult) float64, s step) string {
	var values []float64
	for _, r := range b.results {
		if r.way == w.id && r.tool == t.id && r.step == s {
			values = append(values, value(r))
		}
	}
	if len(values) == 0 || slices.Max(values) == 0 {
		return ""
	}
	return fmt.Sprintf(format, median(values))
}

func (b *cloudBench) reportRounds(p printer, w way, rounds int) {
	p.line("\nEvery round, wall seconds (processor seconds); requests of the last:\n")
	p.line("| tool | step |%s requests | MB up | MB down |\n|---|---|%s---|--:|--:|", columns(" round %d |", rounds), strings.Repeat("--:|", rounds))
	for _, t := range b.tools {
		for _, s := range cloudSteps {
			var times []string
			var last cloudResult
			for _, r := range b.results {
				if r.way == w.id && r.tool == t.id && r.step == s {
					times, last = append(times, fmt.Sprintf("%.2f (%.2f)", r.seconds, r.cpu)), r
				}
			}
			if times != nil {
				counted := " | | "
				if last.total() > 0 {
					counted = fmt.Sprintf("%s | %.1f | %.1f", last.methods(), mb(last.up), mb(last.down))
				}
				p.line("| %s | %s | %s | %s |", t.name, s, strings.Join(times, " | "), counted)
			}
		}
	}
}

func (b *cloudBench) reportMethod(p printer) {
	p.line("\n## How\n")
	p.line("All tools run step by step in turn, in opposite order every second round, each against the same server, which is started anew on an empty folder in each round. Before each command, untimed and for everybody: `sync`, then the source and what the server keeps are read into the page cache. The way to the far server is a proxy (package cloud/faulty): 25 ms each way, 100 Mbit/s in each direction for all connections together, a new connection takes a round trip; it counts requests, and bytes with headers. Nothing is between the tools and the server on this machine, and nothing is counted there. Server and proxy run on the same cores as the tools. Each restored folder is compared with the source by `diff -r`, untimed. A restore is that of a new device.\n")
	p.line("| tool | version | backup | restore |\n|---|---|---|---|")
	for _, t := range b.tools {
		version, _, _ := strings.Cut(output(t.version), "\n")
		p.line("| %s | %s | %s | %s |", t.name, version, code(t.backup), code(strings.ReplaceAll(t.restore, "\n", "; ")))
	}
}
