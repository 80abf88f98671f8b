package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"keepsake.example/internal/command"
	"keepsake.example/vaultd"
)

var rekeyCommand = command.Command[app, options]{
	Name: "operator rekey", Short: "replace the secret that the members' messages are sealed under",
	Long: `Gives every group that the asked machine is a member of a new secret, sealed to the
keys of its members as they are now. The fleet does that by itself whenever a member was
removed; this is for when a machine's memory may have been read and it stays, and by the
calendar. It needs no signatures: nothing is granted by it, and nothing is lost.

Service goes on. vaultd status shows each group's secret and when every member has it;
one that was down asks for it when it is back. A machine that was stolen must be removed
first: as long as it is a member, it is given the new secret, too.`,
	Example: `  vaultd operator rekey --config /var/lib/vaultd/vaultd.toml`,
	Flags:   adminFlags,
	Run:     (*app).rekey,
}

func (a *app) rekey(ctx context.Context, o *options) error {
	admin, err := adminAddress(o)
	if err != nil {
		return err
	}
	text, err := get(ctx, "POST", admin, "/rekey")
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return a.Emit(map[string]any{"groups": lines}, func(w io.Writer) {
		for _, line := range lines {
			fmt.Fprintln(w, command.OneLine(line))
		}
	})
}

// secretText is how a group's secret stands, for status.
func secretText(s vaultd.SecretStatus) string {
	text := fmt.Sprintf("secret %d", s.Generation)
	switch {
	case s.Behind:
		return text + ", which this machine does not have yet"
	case s.Turning:
		return text + ", which not every member has yet"
	case s.Due:
		return text + ": A MEMBER LEFT THAT KNOWS IT"
	}
	return text
}
