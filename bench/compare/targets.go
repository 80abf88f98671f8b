package main

import (
	"fmt"
	"slices"
)

// target is one line of what Keepsake set out to reach.
type target struct {
	what  string
	limit float64
	unit  string // of the value; "" for a ratio
	value func(b *bench, round int) (float64, bool)
}

// peers are the backup tools that "the fastest of them" speaks of; the floors, which check nothing
// and encrypt nothing, are not.
var peers = []string{"age", "restic", "kopia", "kopia-zstd", "borg"}

// kopias are both ways kopia was run: Keepsake is held against the better one.
var kopias = []string{"kopia", "kopia-zstd"}

// targets are what issue 2 asks for, in its order.
var targets = []target{
	{"first backup: wall time ÷ kopia's (the faster of its two)", 1.0 / 3, "", timeAgainst(first, kopias...)},
	{"first backup: wall time ÷ `tar \\| age`'s", 0.5, "", timeAgainst(first, "age")},
	{"first backup: wall time ÷ `cat` of all files into one file", 2.2, "", timeAgainst(first, "cat")},
	{"day 2: uploaded ÷ (new media + compressed changed pages)", 1.25, "", func(b *bench, round int) (float64, bool) {
		r, ok := b.find("keepsake", day2, round)
		return float64(r.uploaded) / float64(b.new.Total), ok
	}},
	{"day 2: uploaded ÷ restic's (about a third)", 1.0 / 3, "", uploadAgainst("restic")},
	{"day 2: uploaded ÷ kopia's, default (about a tenth)", 0.1, "", uploadAgainst("kopia")},
	{"day 2: wall time ÷ restic's", 0.5, "", timeAgainst(day2, "restic")},
	{"restore: wall time ÷ the fastest tool's", 1, "", timeAgainst(restore, peers...)},
	{"verify, every byte: wall time ÷ the fastest tool's", 1, "", timeAgainst(verify, peers...)},
	{"nothing changed: seconds over start-up", 0.5, " s", func(b *bench, round int) (float64, bool) {
		r, ok := b.find("keepsake", again, round)
		return r.seconds - b.startUp[round], ok
	}},
	{"peak memory of any step", 200, " MiB", func(b *bench, round int) (float64, bool) {
		var peak float64
		for _, r := range b.results {
			if r.tool == "keepsake" && r.round == round {
				peak = max(peak, r.peakMiB)
			}
		}
		return peak, peak > 0
	}},
}

func (b *bench) find(tool string, s step, round int) (result, bool) {
	i := slices.IndexFunc(b.results, func(r result) bool { return r.tool == tool && r.step == s && r.round == round })
	if i < 0 {
		return result{}, false
	}
	return b.results[i], true
}

// timeAgainst is Keepsake's time over that of the fastest of the others in the same round.
func timeAgainst(s step, others ...string) func(*bench, int) (float64, bool) {
	return func(b *bench, round int) (float64, bool) {
		ours, ok := b.find("keepsake", s, round)
		fastest := 0.0
		for _, other := range others {
			if r, had := b.find(other, s, round); had && (fastest == 0 || r.seconds < fastest) {
				fastest = r.seconds
			}
		}
		return ours.seconds / fastest, ok && fastest > 0
	}
}

func uploadAgainst(other string) func(*bench, int) (float64, bool) {
	return func(b *bench, round int) (float64, bool) {
		ours, ok := b.find("keepsake", day2, round)
		theirs, had := b.find(other, day2, round)
		return float64(ours.uploaded) / float64(theirs.uploaded), ok && had
	}
}

// row judges a target by the median of the rounds, each round's ratio taken within it.
func (t target) row(b *bench, rounds int) string {
	var values []float64
	for round := range rounds {
		if v, ok := t.value(b, round); ok {
			values = append(values, v)
		}
	}
	return judge(t.what, t.limit, t.unit, values)
}

// judge is a line of a table of targets.
func judge(what string, most float64, unit string, values []float64) string {
	limit := fmt.Sprintf("%.2f%s", most, unit)
	if len(values) == 0 {
		return fmt.Sprintf("| %s | %s | | | not measured |", what, limit)
	}
	m := median(values)
	verdict := "met"
	if m > most {
		verdict = "**NOT met**"
	}
	return fmt.Sprintf("| %s | %s | %.2f%s | %.2f to %.2f | %s |", what, limit, m, unit, slices.Min(values), slices.Max(values), verdict)
}

// median is the middle value, or the mean of the two in the middle; 0 of none.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	return (v[(n-1)/2] + v[n/2]) / 2
}
