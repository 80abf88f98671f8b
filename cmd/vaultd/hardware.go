package main

import (
	"context"
	"errors"

	"keepsake.example/anchor"
	"keepsake.example/anchor/pkcs11"
	"keepsake.example/anchor/tpm"
)

// chip is the section [tpm].
type chip struct {
	Path    string `toml:"path"`
	Dir     string `toml:"dir"`
	PCRs    []int  `toml:"pcrs"`
	Orderly bool   `toml:"orderly"`
}

var tpmKind = deviceKind{
	check: func(c *config) error {
		if c.TPM.Path == "" || c.TPM.Dir == "" {
			return errors.New("[tpm] needs path, the chip, and dir, a folder for what only the chip opens")
		}
		return nil
	},
	open: func(ctx context.Context, c *config) (anchor.Device, error) {
		return opened(tpm.Open(ctx, c.tpmOptions()))
	},
	prepare: func(ctx context.Context, c *config, custodian *anchor.Secret, replace bool) error {
		o := c.tpmOptions()
		o.Replace = replace
		return tpm.Prepare(ctx, o, custodian)
	},
}

func (c *config) tpmOptions() tpm.Options {
	return tpm.Options{Path: c.TPM.Path, Dir: c.path(c.TPM.Dir), PCRs: c.TPM.PCRs, Orderly: c.TPM.Orderly}
}

// slot is the section [pkcs11].
type slot struct {
	Module  string `toml:"module"`
	Token   string `toml:"token"`
	Serial  string `toml:"serial"`
	PINFile string `toml:"pin_file"`
}

var pkcs11Kind = deviceKind{
	check: func(c *config) error {
		if c.PKCS11.Module == "" || c.PKCS11.Token == "" || c.PKCS11.PINFile == "" {
			return errors.New("[pkcs11] needs module, the vendor's library, token, its label, and pin_file")
		}
		return nil
	},
	open: func(ctx context.Context, c *config) (anchor.Device, error) {
		return opened(pkcs11.Open(ctx, c.pkcs11Options()))
	},
	prepare: func(ctx context.Context, c *config, custodian *anchor.Secret, replace bool) error {
		o := c.pkcs11Options()
		o.Replace = replace
		return pkcs11.Prepare(ctx, o, custodian)
	},
}

func (c *config) pkcs11Options() pkcs11.Options {
	return pkcs11.Options{Module: c.PKCS11.Module, Token: c.PKCS11.Token, Serial: c.PKCS11.Serial, PINFile: c.path(c.PKCS11.PINFile)}
}
