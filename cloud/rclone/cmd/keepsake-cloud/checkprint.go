package main

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"keepsake.example/internal/cli"
	"keepsake.example/internal/command"
)

// print shows a report to a person.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s", cli.Name(r.Destination))
	if r.Provider != "" {
		fmt.Fprintf(w, " (%s)", r.Provider)
	}
	fmt.Fprintln(w)
	for _, s := range r.Steps {
		verdict := "ok"
		if s.Error != "" {
			verdict = "FAILED: " + cli.Name(s.Error)
		}
		fmt.Fprintf(w, "  %-16s %8s  %s\n", s.Name, seconds(s.Took), verdict)
	}
	if r.Passed {
		fmt.Fprintf(w, "\nlatency %s, up %s/s, down %s/s on one connection (a backup uses %d); %s\n",
			seconds(r.Latency), cli.Size(int64(r.Up)), cli.Size(int64(r.Down)), cmp.Or(r.Parallel, 2), cli.Plural(r.Requests, "request", "requests"))
	}
	if r.Lag > 0 {
		fmt.Fprintf(w, "this cloud may show changes of other devices late, by up to %s\n", seconds(r.Lag))
	}
	if r.Room != nil {
		fmt.Fprintln(w, "room: "+r.Room.text())
	}
	paragraph(w, "It can see:", r.Sees)
	paragraph(w, "Limits:", r.Limits)
	if r.Experimental != "" {
		paragraph(w, "Experimental:", []string{r.Experimental})
	}
	if r.LeftBehind != "" {
		fmt.Fprintf(w, "\nNot everything could be removed. Delete by hand: %s\n", cli.Name(r.LeftBehind))
	}
	if r.Passed {
		fmt.Fprintln(w, "\nThis cloud can hold backups.")
	}
}

func seconds(s float64) string {
	switch {
	case s < 0.0005:
		return "< 1 ms"
	case s < 1:
		return fmt.Sprintf("%.0f ms", s*1000)
	}
	return cli.Duration(time.Duration(s * float64(time.Second)))
}

func (t *roomTable) text() string {
	text := ""
	for _, p := range []struct {
		n    int64
		what string
	}{{t.Free, "free"}, {t.Used, "used"}, {t.Total, "in all"}} {
		if p.n >= 0 {
			if text != "" {
				text += ", "
			}
			text += cli.Size(p.n) + " " + p.what
		}
	}
	return text
}

func paragraph(w io.Writer, title string, items []string) {
	if len(items) == 0 {
		return
	}
	fmt.Fprintln(w, "\n"+title)
	for _, item := range items {
		for i, line := range command.Wrap(item, 90) {
			mark := "- "
			if i > 0 {
				mark = "  "
			}
			fmt.Fprintln(w, "  "+mark+line)
		}
	}
}
