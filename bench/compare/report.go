package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// surroundings is what a reader needs to know to compare two reports.
type surroundings struct {
	machine string
	commit  string
	notes   []string // what bench/backup had to do without
	history string   // size of day 1
}

func describe(work string) surroundings {
	return surroundings{
		machine: fmt.Sprintf("%d cores, %s, %s memory, Linux %s, %s, %s", runtime.NumCPU(),
			field("/proc/cpuinfo", "model name"), field("/proc/meminfo", "MemTotal"),
			output("uname -r"), output(`df --output=fstype "`+work+`" | tail -n 1`), runtime.Version()),
		commit:  output(`git rev-parse --short HEAD; git status --porcelain -uno | grep -q . && echo "with uncommitted changes" || true`),
		notes:   strings.FieldsFunc(output(`cat "`+work+`/notes"`), func(r rune) bool { return r == '\n' }),
		history: sizeOf(filepath.Join(work, "day1")),
	}
}

// output is what a line prints, or why it could not: a report with a gap is better than none.
func output(line string) string {
	text, err := exec.Command("bash", "-c", line).Output()
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

func field(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return name + " unknown"
}

func sizeOf(folder string) string {
	all, err := files(folder)
	if err != nil {
		return err.Error()
	}
	var n int64
	for _, s := range all {
		n += s.size
	}
	return fmt.Sprintf("%d files, %.1f MB", len(all), float64(n)/1e6)
}

// printer writes lines of a report; a report is written to memory, which does not fail.
type printer struct{ w io.Writer }

func (p printer) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

func (b *bench) report(w io.Writer, s surroundings, rounds int) {
	p := printer{w}
	p.line("# Backup of a chat history: Keepsake beside other tools, %s\n", time.Now().Format(time.DateOnly))
	p.line("Made by `make bench-backup`. Machine: %s. Commit: %s. Rounds: %d.\n", s.machine, strings.ReplaceAll(s.commit, "\n", " "), rounds)
	p.line("History: day 1 is %s. Truly new on day 2 is %.1f MB: %d new files of %.1f MB, and %d changed database pages of %.1f MB, compressed (groups of 64, zstd fastest) %.1f MB.\n",
		s.history, mb(b.new.Total), b.new.Files, mb(b.new.FileBytes), b.new.Pages, mb(b.new.PageBytes), mb(b.new.CompressedBytes))
	for _, note := range s.notes {
		p.line("* %s", note)
	}
	b.reportTargets(p, rounds)
	b.reportMedians(p)
	b.reportRounds(p, rounds)
	b.reportMethod(p)
}

func (b *bench) reportTargets(p printer, rounds int) {
	p.line("\n## What was to be reached\n")
	p.line("Each ratio is taken within a round; the median of the rounds decides.\n")
	p.line("| what | at most | median | range | |\n|---|--:|--:|--:|---|")
	for _, t := range targets {
		p.line("%s", t.row(b, rounds))
	}
	p.line("\nStart-up (`keepsake --help`): %.3f s.", median(b.startUp))
}

func (b *bench) reportMedians(p printer) {
	p.line("\n## Medians\n")
	p.line("| tool | first backup s | stored MB | nothing changed s | day 2 s | day 2 uploaded MB | verify s | restore s | peak MiB |")
	p.line("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	seconds := func(r result) float64 { return r.seconds }
	uploaded := func(r result) float64 { return mb(r.uploaded) }
	for _, t := range b.tools {
		p.line("| %s | %s | %s | %s | %s | %s | %s | %s | %s |", t.name,
			b.cell(t, "%.2f", seconds, first), b.cell(t, "%.1f", uploaded, first), b.cell(t, "%.2f", seconds, again),
			b.cell(t, "%.2f", seconds, day2), b.cell(t, "%.1f", uploaded, day2), b.cell(t, "%.2f", seconds, verify),
			b.cell(t, "%.2f", seconds, restore), b.cell(t, "%.0f", func(r result) float64 { return r.peakMiB }, first, day2, verify, restore))
	}
}

// cell is a tool's median over the rounds; over several steps, the largest of their medians.
func (b *bench) cell(t tool, format string, value func(result) float64, steps ...step) string {
	var largest float64
	found := false
	for _, s := range steps {
		var values []float64
		for _, r := range b.results {
			if r.tool == t.id && r.step == s {
				values = append(values, value(r))
			}
		}
		if len(values) > 0 {
			largest, found = max(largest, median(values)), true
		}
	}
	if !found {
		return ""
	}
	return fmt.Sprintf(format, largest)
}

func (b *bench) reportRounds(p printer, rounds int) {
	p.line("\n## Every round\n")
	p.line("Wall seconds (processor seconds) per round.\n")
	p.line("| tool | step |%s uploaded MB | peak MiB |\n|---|---|%s--:|--:|", columns(" round %d |", rounds), strings.Repeat("--:|", rounds))
	for _, t := range b.tools {
		for _, s := range []step{first, again, day2, verify, restore} {
			if t.line(s) != "" {
				b.reportStep(p, t, s, rounds)
			}
		}
	}
}

func columns(format string, n int) string {
	var all strings.Builder
	for i := range n {
		fmt.Fprintf(&all, format, i+1)
	}
	return all.String()
}

func (b *bench) reportStep(p printer, t tool, s step, rounds int) {
	var times, uploads, peaks []string
	for round := range rounds {
		r, _ := b.find(t.id, s, round)
		times = append(times, fmt.Sprintf("%.2f (%.2f)", r.seconds, r.cpu))
		uploads = append(uploads, fmt.Sprintf("%.1f", mb(r.uploaded)))
		peaks = append(peaks, fmt.Sprintf("%.0f", r.peakMiB))
	}
	if s == verify || s == restore {
		uploads = nil
	}
	p.line("| %s | %s | %s | %s | %s |", t.name, s, strings.Join(times, " | "), strings.Join(uploads, ", "), strings.Join(peaks, ", "))
}

func (b *bench) reportMethod(p printer) {
	p.line("\n## How\n")
	p.line("All tools run step by step in turn, in opposite order every second round. Before each command, untimed and for everybody: `sync`, then the source and the tool's store are read into the page cache. No cache is dropped. Uploaded is the size of all files in the store that are new or rewritten. Peak is the resident memory of the biggest process. Each restored folder is compared with the source by `diff -r`, untimed. Keepsake restores on a new device: an empty profile, the key file and the cloud folder.\n")
	p.line("| tool | version | first backup | verify | restore |\n|---|---|---|---|---|")
	for _, t := range b.tools {
		version := ""
		if t.version != "" {
			version, _, _ = strings.Cut(output(t.version), "\n")
		}
		p.line("| %s | %s | %s | %s | %s |", t.name, version, code(t.backup), code(t.verify), code(t.restore))
	}
}

// code sets a command in a table cell.
func code(line string) string {
	if line == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(line, "|", `\|`) + "`"
}

func mb(n int64) float64 { return float64(n) / 1e6 }
