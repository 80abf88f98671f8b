package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"

	"keepsake.example/internal/command"
	"keepsake.example/vaultd"
)

var statusCommand = command.Command[app, options]{
	Name: "status", Short: "how a running vaultd stands",
	Long: `Asks the vaultd that runs with this configuration, through its admin address, how
it stands: whether it answers, what is insecure, its channel keys, its replica and
anchor. Exit code 8 when it does not answer, 11 when its replica has halted.`,
	Example: `  vaultd status --config /var/lib/vaultd/vaultd.toml
  vaultd status --admin 127.0.0.1:7444 --json`,
	Flags: adminFlags,
	Run:   (*app).status,
}

func adminFlags(f *flag.FlagSet, o *options) {
	configFlag(f, o)
	f.StringVar(&o.admin, "admin", "", "`ADDRESS` of the admin listener, in place of the configuration's")
}

// adminAddress is where to ask.
func adminAddress(o *options) (string, error) {
	if o.admin != "" {
		return o.admin, nil
	}
	c, err := readConfig(o.config)
	if err != nil {
		return "", err
	}
	return c.Admin, nil
}

func (a *app) status(ctx context.Context, o *options) error {
	admin, err := adminAddress(o)
	if err != nil {
		return err
	}
	text, err := get(ctx, "GET", admin, "/status")
	if err != nil {
		return err
	}
	var st vaultd.Status
	if err := json.Unmarshal(text, &st); err != nil {
		return fmt.Errorf("reading vaultd's answer: %w", err)
	}
	if err := a.Emit(st, func(w io.Writer) { writeStatus(w, st) }); err != nil {
		return err
	}
	if st.Halted != "" {
		return command.Fail(exitHalted, "the replica has halted: "+st.Halted, "restart vaultd; if it halts again, look at the disk")
	}
	return nil
}

func writeStatus(w io.Writer, st vaultd.Status) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-13s %s\n", name, command.OneLine(fmt.Sprintf(format, args...)))
	}
	row("fleet", "%s", st.Fleet)
	row("ready", "%s", yesNo(st.Ready))
	row("time", "%s", st.Time)
	row("accounts", "at most %d", st.Accounts)
	row("requests", "%d in work, %d waiting", st.InFlight, st.Queued)
	r := st.Replica
	row("replica", "member %d, %s of term %d, applied %d of %d", r.Member, r.Role, r.Term, r.Applied, r.Committed)
	row("log", "%d KiB since the checkpoint at %d", r.LogBytes>>10, r.Checkpoint)
	if r.Problem != "" {
		row("checkpoint", "the last one failed: %s", r.Problem)
	}
	row("anchor", "%s, counter %d: %s", r.Anchor, r.Counter, r.Protects)
	row("bundle", "serial %d", st.Serial)
	for _, k := range st.Keys {
		row("channel key", "%s  %s to %s", k.ID, k.NotBefore, k.NotAfter)
	}
	for _, i := range st.Insecure {
		row("INSECURE", "%s", i)
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "NO"
}
