package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"keepsake.example/client"
	"keepsake.example/fleet"
	"keepsake.example/internal/cli"
)

func (a *app) vaultCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vault",
		Short: "what the vault says of the key behind the password",
		Long: `The vault keeps the key of a backup behind a password. It counts wrong passwords,
waits longer after each, and destroys the key after the last.

  keepsake vault status   attempts left, when the next is taken, and who tried
  keepsake vault cancel   stop a change that waits and was not yours`,
		Args: cobra.ArbitraryArgs,
		RunE: runParent,
	}
	cmd.AddCommand(a.vaultStatusCommand(), a.vaultCancelCommand())
	return cmd
}

func (a *app) vaultStatusCommand() *cobra.Command {
	var f accessFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "attempts left, when the next is taken, and who tried",
		Long: `Asks the vault what it keeps for your account: how many attempts are left and when
the next one is taken, when the password was set and was last right, who tried since
then, and whether a change waits. It costs no attempt.`,
		Example: `  keepsake vault status
  keepsake vault status --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.vaultStatus(cmd.Context(), f) },
	}
	f.add(cmd)
	return cmd
}

type vaultJSON struct {
	Server      string        `json:"server"`
	Fleet       string        `json:"fleet"`
	Handle      string        `json:"handle"`
	State       string        `json:"state"` // none, live or destroyed
	Mine        bool          `json:"set_or_proved_here"`
	Attempts    *attemptsJSON `json:"attempts"`
	Registered  *time.Time    `json:"registered"`
	LastSuccess *time.Time    `json:"last_success"`
	Past        []attemptJSON `json:"past"`
	Change      *changeJSON   `json:"change"`
	Hardware    bool          `json:"hardware_key,omitempty"` // the fleet answers with a key in its hardware
	Warnings    []string      `json:"warnings"`
}

type attemptJSON struct {
	Time       time.Time `json:"time"`
	Device     string    `json:"device"` // 16 hex digits; zeros when not known
	ThisDevice bool      `json:"this_device"`
}

type changeJSON struct {
	Kind   string     `json:"kind"`
	Mine   bool       `json:"from_this_device"`
	Ripens *time.Time `json:"ripens"`
}

func pastJSON(past []client.Attempt) []attemptJSON {
	list := []attemptJSON{}
	for _, p := range past {
		list = append(list, attemptJSON{p.Time.UTC().Truncate(time.Second), hex.EncodeToString(p.Who[:]), p.Mine})
	}
	return list
}

func timeJSON(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

func (a *app) vaultStatus(ctx context.Context, f accessFlags) error {
	c := a.client()
	o, err := a.access(ctx, c, f)
	if err != nil {
		return err
	}
	r, err := c.VaultStatus(ctx, o)
	if err != nil {
		return err
	}
	warnings := a.vaultWorries(r)
	return a.emit(a.vaultJSON(r, warnings), func(w io.Writer) { a.writeVault(w, r, warnings) })
}

func (a *app) vaultJSON(r *client.VaultReport, warnings []string) vaultJSON {
	j := vaultJSON{
		Server: r.State.Server.URL, Fleet: fleet.FormatID(r.State.Server.Fleet), Handle: r.State.Handle, State: stateOf(r), Mine: r.Mine,
		Registered: timeJSON(r.Registered), LastSuccess: timeJSON(r.LastSuccess), Past: pastJSON(r.Past), Hardware: r.Hardened, Warnings: warnings,
	}
	if r.Live {
		j.Attempts = countedJSON(r.Counted, a.now())
	}
	if !r.Gone.IsZero() {
		j.Attempts = &attemptsJSON{Destroyed: timeJSON(r.Gone)}
	}
	if r.Change != "" {
		j.Change = &changeJSON{r.Change, r.ChangeMine, timeJSON(r.Ripens)}
	}
	return j
}

func stateOf(r *client.VaultReport) string {
	switch {
	case r.Live:
		return "live"
	case !r.Gone.IsZero():
		return "destroyed"
	}
	return "none"
}

// vaultWorries lists what should worry the person, the worst first.
func (a *app) vaultWorries(r *client.VaultReport) []string {
	list := []string{}
	if !r.Gone.IsZero() {
		list = append(list, "the key was destroyed: only the 64-digit key or a new backup can help; while this device has the key: keepsake password change")
	}
	if r.State.Again {
		list = append(list, "the last attempt used the key at the vault up: set the password anew with keepsake password change")
	}
	if r.Change != "" && !r.ChangeMine {
		list = append(list, fmt.Sprintf("another device asked for a %s of what the vault keeps%s; if that was not you: keepsake vault cancel", r.Change, from(r.Ripens)))
	}
	if n := notMine(r.Past); n > 0 {
		list = append(list, fmt.Sprintf("%s since the password was last right came from another device; if that was not you, somebody is in your account at the server", cli.Plural(n, "attempt", "attempts")))
	}
	if r.Live && !r.Mine {
		list = append(list, "this device may not change what the vault keeps: keepsake password check --vault makes it the one that may")
	}
	if r.Live && r.Left <= 3 {
		list = append(list, fmt.Sprintf("only %s left", cli.Plural(r.Left, "attempt is", "attempts are")))
	}
	return append(list, r.Unsafe...)
}

func from(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return ", which takes effect from " + cli.Time(t) + " on"
}

func notMine(past []client.Attempt) (n int) {
	for _, p := range past {
		if !p.Mine {
			n++
		}
	}
	return n
}

func (a *app) writeVault(w io.Writer, r *client.VaultReport, warnings []string) {
	t := cli.NewTable("", "")
	t.Row("server", r.State.Server.Host()+as(&r.State))
	t.Row("fleet", fleet.FormatID(r.State.Server.Fleet)[:16]+"...")
	if r.Hardened {
		t.Row("hardware key", "yes: the fleet answers with a key in its hardware")
	}
	switch {
	case !r.Gone.IsZero():
		t.Row("key", "DESTROYED on "+cli.Time(r.Gone))
	case !r.Live:
		t.Row("key", "none is kept for this account")
	default:
		a.writeRecord(t, r)
	}
	t.Write(w)
	for _, text := range warnings {
		a.msg.Warning("%s", text)
	}
}

func (a *app) writeRecord(t *cli.Table, r *client.VaultReport) {
	t.Row("key", "behind a password, set on "+cli.Time(r.Registered))
	t.Row("attempts left", fmt.Sprintf("%d of %d; %s", r.Left, r.Limit, nextOne(r.Counted, a.now())))
	if r.LastSuccess.IsZero() {
		t.Row("last right", "not since it was set")
	} else {
		t.Row("last right", cli.Time(r.LastSuccess)+" ("+cli.Age(a.now(), r.LastSuccess)+")")
	}
	for i, p := range r.Past {
		title := ""
		if i == 0 {
			title = "tried since"
		}
		who := "another device"
		if p.Mine {
			who = "this device"
		}
		t.Row(title, cli.Time(p.Time)+", "+who)
	}
	if r.Change != "" {
		t.Row("a change waits", r.Change+from(r.Ripens))
	}
}

func (a *app) vaultCancelCommand() *cobra.Command {
	var f accessFlags
	cmd := &cobra.Command{
		Use:   "cancel",
		Short: "stop a change that waits and was not yours",
		Long: `Stops a change of what the vault keeps for you: a replacement or a deletion that
somebody asked for who is logged in as you, and who knows neither the password nor
has a device that the vault knows. Such changes wait some days, for you to see them.
Take your account at the server back as well.`,
		Example: `  keepsake vault cancel`,
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.client()
			o, err := a.access(cmd.Context(), c, f)
			if err != nil {
				return err
			}
			had, err := c.CancelChange(cmd.Context(), o)
			if err != nil {
				return err
			}
			return a.emit(map[string]bool{"cancelled": had}, func(w io.Writer) {
				fmt.Fprintln(w, map[bool]string{true: "The change is stopped.", false: "No change waits."}[had])
			})
		},
	}
	f.addKnown(cmd)
	return cmd
}
