package cli_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"keepsake.example/internal/cli"
)

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1: "1 B", 999: "999 B", 1000: "1.0 kB", 1234: "1.2 kB", 9949: "9.9 kB", 9950: "10 kB", 34_000_000: "34 MB",
		999_499: "999 kB", 999_500: "1.0 MB", 999_999_999: "1.0 GB", 2_100_000_000: "2.1 GB",
		math.MaxInt64: "9.2 EB", math.MinInt64: "-9.2 EB", -5000: "-5.0 kB",
	} {
		if got := cli.Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0", 12: "12", 999: "999", 1000: "1,000", 2700: "2,700", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := cli.Count(n); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
	if got := cli.Plural(1, "file", "files"); got != "1 file" {
		t.Error(got)
	}
	if got := cli.Plural(0, "file", "files"); got != "0 files" {
		t.Error(got)
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 0: "0.0 s", 400 * time.Millisecond: "0.4 s", 12 * time.Second: "12 s", 9960 * time.Millisecond: "10 s",
		60 * time.Second: "1 min", 185 * time.Second: "3 min 5 s", 130 * time.Minute: "2 h 10 min", 47 * time.Hour: "47 h", 96 * time.Hour: "4 days",
	} {
		if got := cli.Duration(d); got != want {
			t.Errorf("Duration(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestAge(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0: "just now", 5 * time.Minute: "5 minutes ago", time.Hour: "1 hour ago", 47 * time.Hour: "47 hours ago",
		72 * time.Hour: "3 days ago", 90 * 24 * time.Hour: "3 months ago", -time.Hour: "in the future",
	} {
		if got := cli.Age(now, now.Add(-d)); got != want {
			t.Errorf("Age(%v) = %q, want %q", d, got, want)
		}
	}
}

// A chat partner chooses the names of the files he sends.
func TestNameQuotesWhatATerminalObeys(t *testing.T) {
	for _, name := range []string{"Media/IMG 1.jpg", "ü/日本.png", "-rf"} {
		if got := cli.Name(name); got != name {
			t.Errorf("Name(%q) = %q", name, got)
		}
	}
	for _, name := range []string{"a\x1b[2Jb", "a\nb", "a\u202eb", "\xff", "a\u009bb", "a\rb"} {
		got := cli.Name(name)
		if got == name || strings.ContainsAny(got, "\x1b\n\r\u009b\u202e") {
			t.Errorf("Name(%q) = %q", name, got)
		}
	}
}

func TestMessagesKeepTheirPrefixAndObeyNothing(t *testing.T) {
	var b strings.Builder
	m := cli.Messages{Name: "keepsake", W: &b}
	m.Error("cannot read %s", "x\nkeepsake: done\x1b[2K\u009b2J")
	m.Hint("try again")
	want := "keepsake: error: cannot read x\nkeepsake: error: keepsake: done?[2K?2J\nkeepsake: hint: try again\n"
	if b.String() != want {
		t.Errorf("got %q\nwant %q", b.String(), want)
	}
	b.Reset()
	m.Quiet = true
	m.Note("dropped")
	m.Warning("kept")
	if b.String() != "keepsake: warning: kept\n" {
		t.Errorf("quiet printed %q", b.String())
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	table := cli.NewTable("id", ">size", "name")
	table.Row("a1", "5 B", "ä")
	table.Row("b", "12 kB", "")
	if err := table.Write(&b); err != nil {
		t.Fatal(err)
	}
	want := "id   size  name\na1    5 B  ä\nb   12 kB\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestExitCodesAreDistinctAndStay(t *testing.T) {
	names := map[int]string{
		0: "done", 1: "failed", 2: "usage", 3: "wrong-key", 4: "not-found", 5: "damaged", 6: "rolled-back",
		7: "busy", 8: "unreachable", 9: "partial", 10: "no-room",
		11: "wrong-password", 12: "wait", 13: "destroyed", 14: "not-counted", 15: "dishonest", 16: "login", 70: "internal", 130: "interrupted",
	}
	if len(cli.Exits()) != len(names) {
		t.Errorf("%d exits", len(cli.Exits()))
	}
	for _, e := range cli.Exits() {
		if names[e.Code] != e.Name {
			t.Errorf("code %d is %q, scripts know it as %q", e.Code, e.Name, names[e.Code])
		}
	}
}
