package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/internal/cli"
)

// oldBackup is when status begins to say that the last backup is old.
const oldBackup = 3 * 24 * time.Hour

// shownDamage is how many damaged objects status names.
const shownDamage = 3

func (a *app) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "what is backed up to where, and how it stands",
		Long: `Says what is backed up to where, when that was last done, what the cloud holds,
where this device keeps the key, and what should worry you. When the cloud
cannot be reached it says what this device knows, and ends with code 8.`,
		Example: `  keepsake status
  keepsake status --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context()) },
	}
	flag(cmd, "older-state", &a.olderState)
	return cmd
}

type statusJSON struct {
	Profile    string                `json:"profile"`
	Source     string                `json:"source"`
	Cloud      string                `json:"cloud"`
	Left       string                `json:"left_behind,omitempty"`
	Repository string                `json:"repository"`
	KeyStore   string                `json:"key_store"`
	LastBackup *client.LastBackup    `json:"last_backup"`
	LastVerify *client.LastVerify    `json:"last_verify"`
	KeyChecked *time.Time            `json:"key_checked"`
	Failure    *client.LastFailure   `json:"last_failure"`
	Schedule   *scheduleJSON         `json:"schedule"`
	Password   bool                  `json:"behind_password"`
	Hardware   bool                  `json:"hardware_key,omitempty"` // of the fleet, as last seen
	Reachable  bool                  `json:"reachable"`
	Snapshots  int                   `json:"snapshots"`
	Newest     *backup.Snapshot      `json:"newest"`
	Usage      backup.Usage          `json:"usage"`
	Damage     []*backup.DamageError `json:"damage"`
	Warnings   []string              `json:"warnings"`
	Error      *errorJSON            `json:"error,omitempty"`
}

func (a *app) status(ctx context.Context) error {
	st, err := a.client().Status(ctx)
	if st == nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	warnings := a.worries(st)
	if err := a.emit(a.statusJSON(st, warnings, err), func(w io.Writer) { a.writeStatus(w, st, warnings, err) }); err != nil {
		return err
	}
	return err
}

func (a *app) statusJSON(st *client.Status, warnings []string, err error) statusJSON {
	j := statusJSON{
		Profile: a.profile, Source: st.Config.Source, Cloud: st.Config.Cloud, Left: st.Config.Left, Repository: st.Config.Repository,
		KeyStore: st.Config.KeyStore, LastBackup: st.State.LastBackup, LastVerify: st.State.LastVerify,
		Password: a.client().BehindPassword(), Reachable: err == nil, Snapshots: len(st.Snapshots), Usage: st.Usage, Damage: st.Damage, Warnings: warnings,
	}
	if j.Damage == nil {
		j.Damage = []*backup.DamageError{}
	}
	if !st.State.KeyChecked.IsZero() {
		j.KeyChecked = &st.State.KeyChecked
	}
	if v, err := a.client().VaultState(); err == nil && j.Password {
		j.Hardware = v.FleetKey != ""
	}
	j.Failure, j.Schedule = st.State.LastFailure, a.standing(a.client()).json()
	if n := len(st.Snapshots); n > 0 {
		j.Newest = &st.Snapshots[n-1]
	}
	if err != nil {
		e := jsonError(explain(err))
		j.Error = &e
	}
	return j
}

// worries lists what should worry the person, the worst first.
func (a *app) worries(st *client.Status) []string {
	list := []string{}
	last := st.State.LastBackup
	switch {
	case last == nil:
		list = append(list, "no backup was made from this device yet: keepsake backup")
	case a.now().Sub(last.Time) > oldBackup:
		list = append(list, "the last backup is old: "+cli.Age(a.now(), last.Time))
	}
	if last != nil && last.Problems > 0 {
		list = append(list, fmt.Sprintf("the last backup could not read %s", cli.Plural(last.Problems, "file", "files")))
	}
	if n := len(st.Snapshots); n > 0 {
		if text := mostGone(st.Snapshots[n-1]); text != "" {
			list = append(list, "in the newest snapshot "+text)
		}
	}
	if v := st.State.LastVerify; v != nil && v.Damage > 0 {
		list = append(list, fmt.Sprintf("the last verify found %s", cli.Plural(v.Damage, "damaged object", "damaged objects")))
	}
	for _, d := range st.Damage[:min(len(st.Damage), shownDamage)] {
		list = append(list, fmt.Sprintf("damaged in the cloud: %s: %s (%s)", cli.Name(d.Object), d.What, d.Layer))
	}
	if len(st.Damage) > 0 {
		list = append(list, "see what the damage affects with: keepsake verify")
	}
	if st.Config.Rotating {
		list = append(list, "a change of the key was interrupted; the next backup finishes it")
	}
	if st.Config.Left != "" {
		list = append(list, "the last move left a backup behind at "+cli.Name(st.Config.Left)+": keepsake move --delete-old")
	}
	if worry := a.standing(a.client()).worry(); worry != "" {
		list = append(list, worry)
	}
	return append(list, st.Unsafe...)
}

func (a *app) writeStatus(w io.Writer, st *client.Status, warnings []string, err error) {
	t := cli.NewTable("", "")
	t.Row("chat folder", cli.Name(st.Config.Source))
	t.Row("cloud", cli.Name(st.Config.Cloud))
	t.Row("key", keyLine(st, a.profile))
	t.Row("opens with", a.opensWith())
	t.Row("last backup", a.lastBackupLine(st.State.LastBackup))
	a.standing(a.client()).rows(t.Row)
	if v := st.State.LastVerify; v != nil {
		t.Row("last verify", fmt.Sprintf("%s (%s), %s of the data read", cli.Time(v.Time), cli.Age(a.now(), v.Time), (*part)(&v.ReadData)))
	}
	if !st.State.KeyChecked.IsZero() {
		t.Row("digits checked", cli.Time(st.State.KeyChecked)+" ("+cli.Age(a.now(), st.State.KeyChecked)+")")
	}
	switch {
	case err == nil:
		t.Row("snapshots", a.snapshotsLine(st.Snapshots))
		t.Row("in the cloud", cli.Size(st.Usage.Total)+" in "+cli.Plural(total(st.Usage.Objects), "object", "objects"))
	case errors.Is(err, backup.ErrRolledBack):
		t.Row("snapshots", "ROLLED BACK: the cloud shows an older state than this device has seen")
	default:
		t.Row("snapshots", "not known now")
	}
	t.Write(w)
	for _, text := range warnings {
		a.msg.Warning("%s", text)
	}
}

// opensWith is what this device knows without asking the vault.
func (a *app) opensWith() string {
	c := a.client()
	st, err := c.VaultState()
	if err != nil || !c.BehindPassword() {
		return "the 64 digits"
	}
	hardware := ""
	if st.FleetKey != "" {
		hardware = ", which has a hardware key"
	}
	return "the password, at " + st.Server.Host() + hardware + " (keepsake vault status), and the 64 digits, if you have them"
}

func total(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

func keyLine(st *client.Status, profile string) string {
	if st.KeyError != nil {
		return "MISSING from " + keyPlace(st.Config, profile)
	}
	return "in " + keyPlace(st.Config, profile)
}

func (a *app) lastBackupLine(last *client.LastBackup) string {
	if last == nil {
		return "never"
	}
	return fmt.Sprintf("%s (%s): %s, %s", cli.Time(last.Time), cli.Age(a.now(), last.Time), cli.Plural(last.Files, "file", "files"), cli.Size(last.Bytes))
}

func (a *app) snapshotsLine(list []backup.Snapshot) string {
	if len(list) == 0 {
		return "none"
	}
	first, last := list[0], list[len(list)-1]
	if len(list) == 1 {
		return "1, of " + cli.Time(last.Time)
	}
	return fmt.Sprintf("%s, from %s to %s", cli.Count(len(list)), cli.Time(first.Time), cli.Time(last.Time))
}
