package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"keepsake.example/internal/command"
	"keepsake.example/roster"
	"keepsake.example/vaultd"
)

var submitCommand = command.Command[app, options]{
	Name: "operator submit", Args: "CHANGE...", Short: "hand a signed change to the fleet",
	Long: `Hands a change with its signatures to a member, any of them, and waits until the fleet
has decided: it checks text, serial and signatures itself. Several files of the same
change are put together. Says what is refused and why (exit code 14); with exit code
15 too few members could be reached, and the change may still come into force: submit
it again, which does no harm.`,
	Example: `  vaultd operator submit change-7.txt --config /var/lib/vaultd/vaultd.toml
  vaultd operator submit change-7.alice change-7.bob --admin 127.0.0.1:7444`,
	Flags: func(f *flag.FlagSet, o *options) {
		adminFlags(f, o)
		f.BoolVar(&o.yes, "yes", false, "do not ask before what cannot be taken back")
	},
	Run: (*app).submit,
}

func (a *app) submit(ctx context.Context, o *options) error {
	s, err := readSigned(o.args...)
	if err != nil {
		return err
	}
	c, err := roster.ParseChange(s.Text)
	if err != nil {
		return err
	}
	admin, err := adminAddress(o)
	if err != nil {
		return err
	}
	if warning := warn(c); warning != "" {
		fmt.Fprintln(a.Err, s.Text)
		a.Warn(warning)
		if err := a.confirm(o.yes, "submit this?", strconv.FormatUint(c.Serial, 10)); err != nil {
			return err
		}
	}
	answer, err := ask(ctx, "POST", admin, "/change", s.Encode())
	if err != nil {
		return err
	}
	switch answer.status {
	case http.StatusOK:
		result := map[string]any{"serial": c.Serial, "text": s.Text, "accepted": true}
		return a.Emit(result, func(w io.Writer) { fmt.Fprintf(w, "change %d is in force\n", c.Serial) })
	case http.StatusConflict:
		return a.refusedChange(ctx, admin, c, s, answer.text())
	case http.StatusServiceUnavailable:
		return command.Fail(exitNoQuorum, "the fleet has not decided: "+answer.text(), "submit it again when vaultd status shows a leader; twice does no harm")
	}
	return answer.refused(admin)
}

// refusedChange says why, as the vault said it, and what to do, as the rules say it of the
// fleet as it stands now.
func (a *app) refusedChange(ctx context.Context, admin string, c *roster.Change, s *roster.Signed, body string) error {
	hint := "see: vaultd operator show"
	if strings.Contains(body, "refused ("+string(vaultd.Behind)+")") {
		hint = vaultd.BehindHint(c) // by the leader's own rule, of which the roster knows nothing
	} else if signed, err := get(ctx, "GET", admin, "/roster"); err == nil {
		if r, err := openRoster(signed, c.Fleet); err != nil {
			hint = "another fleet answers at " + admin + " than the one that was signed for"
		} else {
			_, err = r.Apply(s)
			if f, ok := refusal(err).(*command.Failure); ok && f.Hint != "" {
				hint = f.Hint
			}
		}
	}
	return command.Fail(exitRefused, "the fleet refuses change "+strconv.FormatUint(c.Serial, 10)+": "+body, hint)
}
