package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"keepsake.example/anchor"
	"keepsake.example/internal/command"
	"keepsake.example/internal/durable"
)

const deviceGroup = `the TPM or token that this machine counts on
None of these commands runs while vaultd does: a device serves one at a time. Drain
this machine, stop it, and start it again afterwards; the others go on.`

// maxCustody bounds a request and a wrapped key, in bytes.
const maxCustody = 16 << 10

func deviceCommands() []command.Command[app, options] {
	return []command.Command[app, options]{devicePrepare, deviceStatus, deviceRequest, deviceWrap, deviceInstall}
}

func deviceFlags(f *flag.FlagSet, o *options) { configFlag(f, o) }

func custodianFlags(f *flag.FlagSet, o *options) {
	configFlag(f, o)
	f.StringVar(&o.founding.anchor.custodian, "custodian", "", "`FILE` with the custodian's secret; without it you are asked")
}

func outFlags(f *flag.FlagSet, o *options) {
	f.StringVar(&o.out, "out", "", "`FILE` to write")
}

var devicePrepare = command.Command[app, options]{
	Name: "device prepare", Short: "make a device ready for this machine",
	Long: `Makes the device of this configuration ready: a TPM gets the custodian's secret as its
owner and lock-out password, its keys and its counter; a token must exist and be given
its SO PIN. vaultd init and vaultd ceremony do it by themselves; this is for a
configuration that was written by hand. --replace deletes what an earlier machine left on
the device: its disk is unreadable from then on, for good.`,
	Example: `  vaultd device prepare --config /var/lib/vaultd/vaultd.toml --custodian /media/custodian`,
	Flags: func(f *flag.FlagSet, o *options) {
		custodianFlags(f, o)
		f.BoolVar(&o.founding.anchor.replace, "replace", false, "delete what an earlier machine left on the device, for good")
	},
	Run: func(a *app, ctx context.Context, o *options) error {
		c, err := deviceConfig(o)
		if err != nil {
			return err
		}
		custodian, err := a.secret(custodianSecret, o.founding.anchor.custodian, true)
		if err != nil {
			return err
		}
		defer custodian.Wipe()
		if err := c.prepareDevice(ctx, custodian, o.founding.anchor.replace); err != nil {
			return err
		}
		return a.Emit(map[string]any{"anchor": c.Anchor, "prepared": true}, func(w io.Writer) { fmt.Fprintln(w, "prepared") })
	},
}

var deviceStatus = command.Command[app, options]{
	Name: "device status", Short: "what the device is and holds",
	Long: `Says what the device of this configuration protects from and what not, how far it has
counted, and which fleet key it holds. Changes nothing. Exit code 17 when the device is
not there, 18 when it is locked, 19 when it is another one or was cleared.`,
	Example: `  vaultd device status --config /var/lib/vaultd/vaultd.toml`,
	Flags:   deviceFlags,
	Run: func(a *app, ctx context.Context, o *options) error {
		return withDevice(ctx, o, func(c *config, d anchor.Device) error {
			st, err := lookAt(ctx, c, d)
			if err != nil {
				return err
			}
			return a.Emit(st, st.write)
		})
	},
}

// deviceJSON is how a device stands.
type deviceJSON struct {
	Anchor   string `json:"anchor"`
	Insecure bool   `json:"insecure"`
	Protects string `json:"protects"`
	Counter  uint64 `json:"counter"`             // of the machine, 0 before it was founded
	FleetKey string `json:"fleet_key,omitempty"` // H, compressed
}

func lookAt(ctx context.Context, c *config, d anchor.Device) (*deviceJSON, error) {
	what := d.Describe()
	st := &deviceJSON{Anchor: what.Name, Insecure: what.Insecure, Protects: what.Protects}
	now, key, err := d.Read(ctx)
	key.Wipe()
	if err != nil && !errors.Is(err, anchor.ErrEmpty) {
		return nil, fmt.Errorf("reading the device: %w", err)
	}
	st.Counter = now.Counter
	k, err := d.FleetKey(ctx)
	if errors.Is(err, anchor.ErrNoFleetKey) {
		return st, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for the fleet's key: %w", err)
	}
	st.FleetKey = fmt.Sprintf("%x", k.Public())
	return st, nil
}

func (st *deviceJSON) write(w io.Writer) {
	fmt.Fprintf(w, "anchor     %s: %s\n", st.Anchor, st.Protects)
	fmt.Fprintf(w, "counter    %d\n", st.Counter)
	key := st.FleetKey
	if key == "" {
		key = "none"
	}
	fmt.Fprintf(w, "fleet key  %s\n", key)
}

var deviceRequest = command.Command[app, options]{
	Name: "device request", Short: "ask for a copy of the fleet's key",
	Long: `Writes the public key of this machine's device, to which vaultd device wrap, on a machine
that has the fleet's key, wraps it. Read the digest aloud to who does that: whoever
swaps the file gets the key.`,
	Example: `  vaultd device request --config /var/lib/vaultd/vaultd.toml --out ams1.request`,
	Flags: func(f *flag.FlagSet, o *options) {
		deviceFlags(f, o)
		outFlags(f, o)
	},
	Run: func(a *app, ctx context.Context, o *options) error {
		if o.out == "" {
			return command.Usage("--out is missing: where to write the request", "see: vaultd help device request")
		}
		return withDevice(ctx, o, func(_ *config, d anchor.Device) error {
			request, err := d.FleetKeyRequest(ctx)
			if err != nil {
				return fmt.Errorf("asking the device: %w", err)
			}
			return a.hand(o.out, "request", request)
		})
	},
}

var deviceWrap = command.Command[app, options]{
	Name: "device wrap", Args: "REQUEST", Short: "wrap the fleet's key to another machine's device",
	Long: `Wraps the fleet's key, inside the device, to the device that made REQUEST. Takes the
custodian's secret of this device. Before it does, it shows the digest of the request:
compare it with what vaultd device request showed on the other machine. Only that device
can open the result.`,
	Example: `  vaultd device wrap ams1.request --config /var/lib/vaultd/vaultd.toml --out ams1.wrapped`,
	Flags: func(f *flag.FlagSet, o *options) {
		custodianFlags(f, o)
		outFlags(f, o)
		f.BoolVar(&o.yes, "yes", false, "the digest was compared")
	},
	Run: (*app).wrap,
}

func (a *app) wrap(ctx context.Context, o *options) error {
	if o.out == "" {
		return command.Usage("--out is missing: where to write the wrapped key", "see: vaultd help device wrap")
	}
	request, err := command.ReadFile(o.args[0], maxCustody)
	if err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	digest := custodyDigest(request)
	fmt.Fprintf(a.Err, "digest of the request: %s\n", digest)
	// Of 64 bits, so that nobody finds another request for them; not shown here alone, so that they are compared.
	question := "is it what the other machine shows? Who has the device behind it gets the fleet's key."
	if err := a.confirmWith(o.yes, question, "the last 16 digits that the other machine shows", digest[48:]); err != nil {
		return err
	}
	custodian, err := a.secret(custodianSecret, o.founding.anchor.custodian, false)
	if err != nil {
		return err
	}
	defer custodian.Wipe()
	return withDevice(ctx, o, func(_ *config, d anchor.Device) error {
		wrapped, err := d.WrapFleetKey(ctx, custodian, request)
		if err != nil {
			return fmt.Errorf("wrapping the fleet's key: %w", err)
		}
		return a.hand(o.out, "wrapped", wrapped)
	})
}

var deviceInstall = command.Command[app, options]{
	Name: "device install", Args: "WRAPPED", Short: "take the fleet's key that was wrapped to this device",
	Long: `Puts the fleet's key, which vaultd device wrap wrapped to this machine's device, into it.
Shows the key's public half: it must be the one that the other machines show.`,
	Example: `  vaultd device install ams1.wrapped --config /var/lib/vaultd/vaultd.toml`,
	Flags:   deviceFlags,
	Run: func(a *app, ctx context.Context, o *options) error {
		wrapped, err := command.ReadFile(o.args[0], maxCustody)
		if err != nil {
			return fmt.Errorf("reading the wrapped key: %w", err)
		}
		return withDevice(ctx, o, func(_ *config, d anchor.Device) error {
			public, err := d.InstallFleetKey(ctx, wrapped)
			if err != nil {
				return fmt.Errorf("installing the fleet's key: %w", err)
			}
			return a.Emit(map[string]any{"fleet_key": fmt.Sprintf("%x", public)}, func(w io.Writer) { fmt.Fprintf(w, "fleet key  %x\n", public) })
		})
	},
}

// deviceConfig reads a configuration that has a device.
func deviceConfig(o *options) (*config, error) {
	c, err := readConfig(o.config)
	if err == nil && !c.hasDevice() {
		err = command.BadConfig(`anchor = "software" is no device`, "see anchor in vaultd.toml")
	}
	return c, err
}

// withDevice opens the configured device for as long as f runs.
func withDevice(ctx context.Context, o *options, f func(*config, anchor.Device) error) error {
	c, err := deviceConfig(o)
	if err != nil {
		return err
	}
	d, err := c.openDevice(ctx)
	if err != nil {
		return err
	}
	return errors.Join(f(c, d), d.Close())
}

func custodyDigest(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// hand writes what goes to another machine, and shows its digest.
func (a *app) hand(file, what string, b []byte) error {
	if err := durable.CreateExclusive(file, b, os.FileMode(0o644)); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	digest := custodyDigest(b)
	return a.Emit(map[string]any{what: file, "digest": digest}, func(w io.Writer) { fmt.Fprintf(w, "%s  %s\ndigest   %s\n", what, file, digest) })
}
