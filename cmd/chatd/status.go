package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"keepsake.example/chatd"
	"keepsake.example/internal/command"
)

var statusCommand = command.Command[app, options]{
	Name: "status", Short: "how a running chatd stands, and its vaultds",
	Long: `Asks the chatd that runs with this configuration, through its admin address, how
it stands: whether clients should come, and for each vaultd whether it answers,
the smoothed time of its probes and of its answers in the last minute, and how
often requests were sent there, failed there, or went elsewhere because it was
away. An asterisk marks the vaultd that requests go to.`,
	Example: `  chatd status --config /etc/chatd/chatd.toml
  chatd status --admin 127.0.0.1:8444 --json`,
	Flags: func(f *flag.FlagSet, o *options) {
		configFlag(f, o)
		f.StringVar(&o.admin, "admin", "", "`ADDRESS` of the admin listener, in place of the configuration's")
		f.BoolVar(&o.json, "json", false, "print the result as one JSON object")
	},
	Run: (*app).status,
}

// adminTimeout bounds a question to the admin listener, which answers at once on
// a machine that is not overloaded.
const adminTimeout = 10 * time.Second

// maxStatus is the longest answer that is read, in bytes.
const maxStatus = 1 << 20

func (a *app) status(ctx context.Context, o *options) error {
	admin := o.admin
	if admin == "" {
		c, err := readConfig(o.config)
		if err != nil {
			return err
		}
		admin = c.Admin
	}
	text, err := ask(ctx, "http://"+admin+"/status")
	if err != nil {
		return command.Fail(exitUnreachable, fmt.Sprintf("asking chatd at %s: %v", admin, err), "is it running, and is this its admin address?")
	}
	var st chatd.Status
	if err := json.Unmarshal(text, &st); err != nil || !st.Relay && !st.Issuer {
		return command.Fail(exitUnreachable, fmt.Sprintf("what answers at %s is no chatd", admin), "is this chatd's admin address, and not another server's?")
	}
	if o.json {
		_, err := a.Out.Write(text)
		return err
	}
	return writeStatus(a.Out, &st, time.Now())
}

func ask(ctx context.Context, where string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", res.Status)
	}
	return io.ReadAll(io.LimitReader(res.Body, maxStatus))
}

func writeStatus(w io.Writer, st *chatd.Status, now time.Time) error {
	ready := "yes"
	if !st.Ready {
		ready = "NO: " + command.OneLine(st.Problem)
	}
	fmt.Fprintf(w, "ready     %s\n", ready)
	if !st.Relay {
		fmt.Fprintln(w, "role      issuer")
		return nil
	}
	fmt.Fprintf(w, "requests  %d being relayed\n\n", st.InFlight)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tvaultd\tstate\tprobe ms\tanswer ms\tunder way\ttries\tfailed\tpassed over")
	for _, v := range st.Vaults {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\n", mark(v.Current), command.OneLine(v.URL), state(&v, now),
			measured(v.Probe), measured(v.Request), v.InFlight, v.Tries, v.Failed, v.PassedOver)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, v := range st.Vaults {
		if v.Why != "" {
			fmt.Fprintf(w, "\n%s: %s\n", command.OneLine(v.URL), command.OneLine(v.Why))
		}
	}
	return nil
}

func mark(current bool) string {
	if current {
		return "*"
	}
	return " "
}

func state(v *chatd.VaultStatus, now time.Time) string {
	if !v.Away {
		return "answers"
	}
	return "AWAY " + now.Sub(v.Since).Round(time.Second).String()
}

// measured is a time in ms, a dash for none.
func measured(ms float64) string {
	if ms == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", ms)
}
