package main

import (
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"keepsake.example/fleet"
	"keepsake.example/internal/command"
	"keepsake.example/internal/durable"
	"keepsake.example/sealed"
)

var bundleCommand = command.Command[app, options]{
	Name: "bundle", Short: "get the signed bundle, or explain one",
	Long: `Gets the bundle that clients fetch (channel keys, policy, signature) from the vaultd
that runs with this configuration and writes it to a file. With --inspect it
explains a bundle instead: anybody can do that, no secret is needed. The fleet id
that the bundle's own key gives is printed; whether it is YOUR fleet is told only
by comparing it with the one you pinned, which --fleet does.`,
	Example: `  vaultd bundle --config /var/lib/vaultd/vaultd.toml --out bundle
  vaultd bundle --inspect bundle --fleet 5c0e…64 hex digits…`,
	Flags: func(f *flag.FlagSet, o *options) {
		adminFlags(f, o)
		f.StringVar(&o.inspect, "inspect", "", "explain the bundle in this `FILE`")
		f.StringVar(&o.fleet, "fleet", "", "refuse another fleet than this `ID`")
		f.StringVar(&o.out, "out", "bundle", "`FILE` to write")
	},
	Run: (*app).bundle,
}

type bundleJSON struct {
	Fleet    string          `json:"fleet"`
	Serial   uint64          `json:"serial"`
	Issued   string          `json:"issued"`
	Insecure bool            `json:"insecure"`
	Attempts uint8           `json:"attempts"`
	Waits    []string        `json:"waits"`
	CoolDown string          `json:"cool_down"`
	Grace    string          `json:"grace"`
	Keys     []bundleKeyJSON `json:"channel_keys"`
}

type bundleKeyJSON struct {
	ID        string `json:"id"`
	NotBefore string `json:"not_before"`
	NotAfter  string `json:"not_after"`
}

func (a *app) bundle(ctx context.Context, o *options) error {
	if o.inspect == "" {
		return a.fetchBundle(ctx, o)
	}
	f, err := os.Open(o.inspect)
	if err != nil {
		return fmt.Errorf("opening the bundle: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, fleet.MaxSize+1))
	if err != nil {
		return fmt.Errorf("reading the bundle: %w", err)
	}
	return a.inspect(data, o.fleet)
}

func (a *app) fetchBundle(ctx context.Context, o *options) error {
	admin, err := adminAddress(o)
	if err != nil {
		return err
	}
	data, err := get(ctx, "GET", admin, "/bundle")
	if err != nil {
		return err
	}
	if err := durable.WriteFile(o.out, data, 0o644); err != nil {
		return fmt.Errorf("writing the bundle: %w", err)
	}
	return a.inspect(data, o.fleet)
}

// inspect explains a bundle. The signature is checked in any case: one that does
// not hold is explained to nobody.
func (a *app) inspect(data []byte, pinned string) error {
	id, err := claimedFleet(data)
	if err != nil {
		return command.Fail(exitFile, err.Error(), "get another copy: vaultd bundle, or chatd's /v1/bundle")
	}
	if pinned != "" {
		if id, err = fleet.ParseID(pinned); err != nil {
			return command.Usage(fmt.Sprintf("%q is no fleet id", pinned), "--fleet takes the id that vaultd init printed")
		}
	}
	b, err := fleet.Open(data, id)
	if err != nil {
		return command.Fail(exitFile, err.Error(), "get another copy: vaultd bundle, or chatd's /v1/bundle")
	}
	j := describeBundle(b, id)
	return a.Emit(j, func(w io.Writer) { writeBundle(w, j, pinned != "") })
}

// claimedFleet is the fleet id that a bundle's own identity key gives.
func claimedFleet(data []byte) (sealed.FleetID, error) {
	const at, size = 16 + 8 + 8, 32 // spec/vault-protocol.md §7.1
	if len(data) < at+size {
		return sealed.FleetID{}, fleet.ErrFormat
	}
	return fleet.ID(data[at : at+size]), nil
}

func describeBundle(b *fleet.Bundle, id sealed.FleetID) bundleJSON {
	p := b.Policy
	j := bundleJSON{
		Fleet: fleet.FormatID(id), Serial: b.Serial, Issued: date(b.Issued), Insecure: p.Insecure, Attempts: p.MaxAttempts,
		Waits: []string{}, CoolDown: period(p.CoolDown), Grace: period(p.Grace),
	}
	for _, w := range p.Waits {
		j.Waits = append(j.Waits, period(w))
	}
	for _, k := range b.Keys {
		id := k.Key.ID()
		j.Keys = append(j.Keys, bundleKeyJSON{hex.EncodeToString(id[:]), date(k.NotBefore), date(k.NotAfter)})
	}
	return j
}

func writeBundle(w io.Writer, j bundleJSON, pinned bool) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("fleet", "%s", j.Fleet)
	if !pinned {
		row("", "as the bundle says; compare it with the fleet id that you pinned")
	}
	row("serial", "%d, issued %s", j.Serial, j.Issued)
	row("attempts", "%d, waits %v", j.Attempts, j.Waits)
	row("cool-down", "%s", j.CoolDown)
	row("grace", "%s", j.Grace)
	for _, k := range j.Keys {
		row("channel key", "%s  %s to %s", k.ID, k.NotBefore, k.NotAfter)
	}
	if j.Insecure {
		row("INSECURE", "a development anchor, or weaker limits than the default: clients refuse it unless told")
	}
}

func date(ms uint64) string { return time.UnixMilli(int64(ms)).UTC().Format(time.RFC3339) }

func period(ms uint64) string { return command.Duration(time.Duration(ms) * time.Millisecond).String() }
