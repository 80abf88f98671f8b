// Command compare runs Keepsake, other backup tools and the floors of the machine side by side on two
// states of one chat history and writes what they took as Markdown. bench/backup prepares everything
// and calls it.
//
//	compare -work DIR -rounds N -out FILE
//	compare -work DIR -rounds N -out FILE -cloud local,wan -server versitygw -wan-rounds N
//
// The second form is bench/cloud's: the same history, over S3.
//
// DIR holds day1 and day2, the two states, and is where everything else is written.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	work := flag.String("work", "", "folder with day1 and day2")
	rounds := flag.Int("rounds", 3, "rounds")
	out := flag.String("out", "", "Markdown file to write")
	cloud := flag.String("cloud", "", "compare over S3, `ways` local, wan or both; served by -server")
	server := flag.String("server", "rclone", "versitygw or rclone")
	wanRounds := flag.Int("wan-rounds", 1, "rounds over the far server")
	flag.Parse()
	do := func() error { return run(*work, *rounds, *out) }
	if *cloud != "" {
		do = func() error { return runCloud(*work, *server, strings.Split(*cloud, ","), *rounds, *wanRounds, *out) }
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "compare: error:", err)
		os.Exit(1)
	}
}

func run(work string, rounds int, out string) error {
	b := &bench{work: work, src: filepath.Join(work, "src"), tools: available(tools)}
	if err := b.measureNew(); err != nil {
		return err
	}
	for round := range rounds {
		if err := b.round(round); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	if err := b.clear(); err != nil {
		return err
	}
	var text bytes.Buffer
	b.report(&text, describe(work), rounds)
	os.Stdout.Write(text.Bytes())
	return os.WriteFile(out, text.Bytes(), 0o644)
}

// bench is one run of all tools.
type bench struct {
	work    string
	src     string // the folder that is backed up; changes from day 1 to day 2 in each round
	tools   []tool
	new     newBytes
	results []result
	startUp []float64 // seconds that keepsake takes to print its help, once a round
}

// newBytes is what the command newbytes prints, as far as it is used here.
type newBytes struct {
	Files           int   `json:"files"`
	FileBytes       int64 `json:"file_bytes"`
	Pages           int   `json:"pages"`
	PageBytes       int64 `json:"page_bytes"`
	CompressedBytes int64 `json:"compressed_bytes"`
	Total           int64 `json:"total"`
}

func (b *bench) measureNew() error {
	text, err := exec.Command("newbytes", b.day(1), b.day(2)).Output()
	if err != nil {
		return fmt.Errorf("counting the new bytes of day 2: %w", err)
	}
	return json.Unmarshal(text, &b.new)
}

func (b *bench) day(n int) string { return filepath.Join(b.work, fmt.Sprintf("day%d", n)) }

// round runs every step for every tool: step by step, so that what is compared ran within a minute or
// two, and in the opposite order every second time, so that nobody always runs after the same other.
func (b *bench) round(round int) error {
	order := slices.Clone(b.tools)
	if round%2 == 1 {
		slices.Reverse(order)
	}
	if err := b.clear(); err != nil {
		return err
	}
	if err := mirror(b.day(1), b.src); err != nil {
		return fmt.Errorf("laying out day 1: %w", err)
	}
	if err := b.measureStartUp(); err != nil {
		return err
	}
	for _, s := range []step{first, again, day2, verify, restore} {
		if s == day2 {
			if err := mirror(b.day(2), b.src); err != nil {
				return fmt.Errorf("laying out day 2: %w", err)
			}
		}
		for _, t := range order {
			if err := b.runStep(round, t, s); err != nil {
				return fmt.Errorf("%s: %s: %w", t.name, s, err)
			}
		}
	}
	return nil
}

// clear removes every tool's store and the restored copies.
func (b *bench) clear() error {
	for _, name := range []string{"stores", "restored"} {
		if err := os.RemoveAll(filepath.Join(b.work, name)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) measureStartUp() error {
	m, err := measure("keepsake --help >/dev/null", nil)
	b.startUp = append(b.startUp, m.seconds)
	return err
}

func (b *bench) runStep(round int, t tool, s step) error {
	line := t.line(s)
	if line == "" {
		return nil
	}
	store, out := filepath.Join(b.work, "stores", t.id), filepath.Join(b.work, "restored", t.id)
	env := t.environment(b.src, store, out)
	if s == first {
		if err := prepare(t, store, env); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	before, err := files(store)
	if err != nil {
		return err
	}
	if err := settle(b.src, store); err != nil {
		return err
	}
	m, err := measure(line, env)
	if err != nil {
		return err
	}
	after, err := files(store)
	if err != nil {
		return err
	}
	m.uploaded = written(before, after)
	b.results = append(b.results, result{tool: t.id, step: s, round: round, measurement: m})
	fmt.Fprintf(os.Stderr, "round %d  %-12s %-16s %7.2f s  %5.0f MiB  %8.1f MB\n", round+1, t.id, s, m.seconds, m.peakMiB, float64(m.uploaded)/1e6)
	return b.finish(t, s, store, out, env)
}

// prepare makes the tool's store, untimed: nobody does it twice.
func prepare(t tool, store string, env []string) error {
	if err := os.MkdirAll(store, 0o755); err != nil {
		return err
	}
	if t.init == "" {
		return nil
	}
	_, err := measure(t.init, env)
	return err
}

// finish checks, untimed, that what was restored is what was backed up, and makes room.
func (b *bench) finish(t tool, s step, store, out string, env []string) error {
	if s == restore {
		if _, err := measure(`diff -r "$SRC" "`+os.Expand(t.tree, lookup(env))+`"`, env); err != nil {
			return fmt.Errorf("comparing the restored files with the source: %w", err)
		}
	}
	if t.floor && !t.wholly {
		if err := os.RemoveAll(store); err != nil {
			return err
		}
	}
	return os.RemoveAll(out)
}
