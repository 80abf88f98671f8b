package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"keepsake.example/anchor"
	"keepsake.example/anchor/pkcs11"
	"keepsake.example/anchor/pkcs11/softhsm"
	"keepsake.example/anchor/software"
	"keepsake.example/anchor/tpm"
	"keepsake.example/anchor/tpm/swtpm"
)

// What is compared, in the order of the tables. The first is what the others are ratios of.
var adapters = []string{"software", "tpm", "pkcs11"}

// title says what plays the hardware.
var title = map[string]string{"software": "software (files)", "tpm": "TPM (swtpm)", "pkcs11": "PKCS#11 (SoftHSM)"}

// rig is the hardware of all machines of a run, played by programs.
type rig struct {
	dir   string
	chips []*swtpm.Chip
	store *softhsm.Store
}

func newRig(dir string) (*rig, error) {
	r := &rig{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(r.custodianFile(), []byte("the custodian of the benchmark"), 0o600); err != nil {
		return nil, err
	}
	var err error
	r.store, err = softhsm.New(filepath.Join(dir, "tokens"))
	return r, err
}

func (r *rig) custodianFile() string { return filepath.Join(r.dir, "custodian") }

func (r *rig) custodian() (*anchor.Secret, error) {
	return anchor.NewSecret([]byte("the custodian of the benchmark"))
}

// stop ends all chips.
func (r *rig) stop() (err error) {
	for _, c := range r.chips {
		err = errors.Join(err, c.Kill())
	}
	r.chips = nil
	return err
}

// chip starts another chip.
func (r *rig) chip() (*swtpm.Chip, error) {
	dir := filepath.Join(r.dir, fmt.Sprintf("chip-%d", len(r.chips)))
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	c, err := swtpm.Start(dir)
	if err == nil {
		r.chips = append(r.chips, c)
	}
	return c, err
}

// flags are what vaultd init is told for a machine on an adapter.
func (r *rig) flags(ctx context.Context, adapter, name string) ([]string, error) {
	switch adapter {
	case "tpm":
		c, err := r.chip()
		if err != nil {
			return nil, err
		}
		return []string{"--anchor", "tpm", "--tpm-path", c.Path(), "--custodian", r.custodianFile()}, nil
	case "pkcs11":
		o, err := r.store.Token(ctx, name)
		if err != nil {
			return nil, err
		}
		return []string{"--anchor", "pkcs11", "--pkcs11-module", o.Module, "--pkcs11-token", o.Token, "--pin-file", o.PINFile, "--custodian", r.store.CustodianFile()}, nil
	}
	return []string{"--insecure-software-anchor"}, nil
}

// device makes and opens a new device of an adapter.
func (r *rig) device(ctx context.Context, adapter, name string) (anchor.Device, error) {
	custodian, err := r.custodian()
	if err != nil {
		return nil, err
	}
	switch adapter {
	case "tpm":
		c, err := r.chip()
		if err != nil {
			return nil, err
		}
		o := tpm.Options{Path: c.Path(), Dir: filepath.Join(r.dir, name)}
		if err := tpm.Prepare(ctx, o, custodian); err != nil {
			return nil, err
		}
		return tpm.Open(ctx, o)
	case "pkcs11":
		o, err := r.store.Token(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := pkcs11.Prepare(ctx, o, r.store.Custodian()); err != nil {
			return nil, err
		}
		return pkcs11.Open(ctx, o)
	}
	dir := filepath.Join(r.dir, name)
	if err := software.Prepare(dir, custodian); err != nil {
		return nil, err
	}
	return software.OpenDevice(dir)
}

// custodianOf is whose secret it is that makes a fleet key.
func (r *rig) custodianOf(adapter string) (*anchor.Secret, error) {
	if adapter == "pkcs11" {
		return r.store.Custodian(), nil
	}
	return r.custodian()
}
