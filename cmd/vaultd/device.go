package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"keepsake.example/anchor"
	"keepsake.example/anchor/ledger"
	"keepsake.example/anchor/software"
	"keepsake.example/internal/command"
)

// What a machine counts on, as vaultd.toml and init name it.
const (
	kindSoftware = "software"        // a folder for each group
	kindPlayed   = "software-device" // files that play a device, for development of what needs one
	kindTPM      = "tpm"
	kindPKCS11   = "pkcs11"
)

// deviceKind is how vaultd uses one kind of device.
type deviceKind struct {
	check   func(*config) error // of its settings
	open    func(context.Context, *config) (anchor.Device, error)
	prepare func(context.Context, *config, *anchor.Secret, bool) error // and whether to replace what is there
}

var deviceKinds = map[string]deviceKind{
	kindPlayed: {
		check: func(*config) error { return nil },
		open: func(_ context.Context, c *config) (anchor.Device, error) {
			return opened(software.OpenDevice(c.playedDir()))
		},
		prepare: func(_ context.Context, c *config, custodian *anchor.Secret, _ bool) error {
			return software.Prepare(c.playedDir(), custodian)
		},
	},
	kindTPM:    tpmKind,
	kindPKCS11: pkcs11Kind,
}

// opened keeps a nil pointer from becoming a device.
func opened[D anchor.Device](d D, err error) (anchor.Device, error) {
	if err != nil {
		return nil, err
	}
	return d, nil
}

// inSoftware says whether what counts is files.
func (c *config) inSoftware() bool { return c.Anchor == kindSoftware || c.Anchor == kindPlayed }

// hasDevice says whether one device counts for all groups.
func (c *config) hasDevice() bool { return c.Anchor != kindSoftware }

func (c *config) checkAnchor() error {
	kind, ok := deviceKinds[c.Anchor]
	if !ok && c.hasDevice() {
		return fmt.Errorf("anchor is %q: there are %q, %q, %q and %q", c.Anchor, kindTPM, kindPKCS11, kindSoftware, kindPlayed)
	}
	if c.inSoftware() && !c.InsecureSoftwareAnchor {
		return errors.New("the software anchor protects nothing from who operates this machine; set insecure_software_anchor = true to accept that, for development only")
	}
	if c.InsecureSoftwareAnchor && !c.inSoftware() {
		return fmt.Errorf("insecure_software_anchor is set, and the anchor is %q: one of them is wrong", c.Anchor)
	}
	if !ok {
		return nil
	}
	return kind.check(c)
}

// playedDir is the folder of the files that play a device.
func (c *config) playedDir() string { return filepath.Join(c.path(c.AnchorDir), "device") }

// ledgerDir is the folder of what spreads the device's count over the groups.
func (c *config) ledgerDir() string { return filepath.Join(c.path(c.AnchorDir), "ledger") }

// openDevice opens the machine's device, which prepareDevice made ready. It must be one
// that the configuration has: see hasDevice.
func (c *config) openDevice(ctx context.Context) (anchor.Device, error) {
	d, err := deviceKinds[c.Anchor].open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("opening the device: %w", err)
	}
	return d, nil
}

// prepareDevice makes the device ready for a machine, once. A TPM takes the custodian's
// secret as its owner password; a token must be given the SO PIN that it has. With
// replace, what an earlier machine left on the device is deleted, for good.
func (c *config) prepareDevice(ctx context.Context, custodian *anchor.Secret, replace bool) error {
	err := deviceKinds[c.Anchor].prepare(ctx, c, custodian, replace)
	switch {
	case errors.Is(err, anchor.ErrFounded):
		return command.Fail(command.Exists, "preparing the device: "+err.Error(),
			"is it the right device? If the machine that was made on it is to be lost, with all it holds: --replace")
	case err != nil:
		return fmt.Errorf("preparing the device: %w", err)
	}
	return nil
}

// anchors are what a machine counts on, open.
type anchors struct {
	device anchor.Device // nil: every group has a folder
	root   anchor.Anchor
	group  func(uint32) (anchor.Anchor, error)
	ledger *ledger.Ledger
}

func (a *anchors) Close() error {
	err := a.root.Close()
	if a.ledger != nil {
		err = errors.Join(err, a.ledger.Close())
	}
	if a.device != nil {
		err = errors.Join(err, a.device.Close())
	}
	return err
}

// anchors opens the device and its ledger, or the folder of the root's anchor.
func (c *config) anchors(ctx context.Context) (*anchors, error) {
	if !c.hasDevice() {
		a, err := software.Open(c.path(c.AnchorDir))
		if err != nil {
			return nil, fmt.Errorf("opening the anchor: %w", err)
		}
		return &anchors{root: a, group: c.groupAnchor}, nil
	}
	d, err := c.openDevice(ctx)
	if err != nil {
		return nil, err
	}
	l, err := ledger.Open(ctx, d, c.ledgerDir())
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	group := func(number uint32) (anchor.Anchor, error) { return l.Group(number), nil }
	return &anchors{device: d, root: l.Group(0), group: group, ledger: l}, nil
}

// groupAnchor opens the folder of a group's anchor, for groups from 1.
func (c *config) groupAnchor(group uint32) (anchor.Anchor, error) {
	a, err := software.Open(filepath.Join(c.path(c.GroupAnchors), fmt.Sprint(group)))
	if err != nil {
		return nil, err
	}
	return a, nil
}

// existing opens what init or join made. One that is not there is not made: an empty
// anchor beside a replica's files is a disk that is not mounted, or a path that is wrong.
func (c *config) existing(ctx context.Context) (*anchors, error) {
	dir := c.path(c.AnchorDir)
	if _, err := os.Stat(filepath.Join(dir, "anchor")); !c.hasDevice() && errors.Is(err, fs.ErrNotExist) && c.founded() {
		return nil, command.Fail(command.NotFound, "the anchor is missing: nothing in "+dir,
			"mount the folder of the anchor, or set anchor_dir to where it is. The replica's files are there: init would not bring them back, and nothing replaces the anchor that belongs to them")
	}
	return c.anchors(ctx)
}
