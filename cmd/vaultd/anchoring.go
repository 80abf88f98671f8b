package main

import (
	"context"
	"errors"
	"flag"
	"path/filepath"
	"strconv"

	"keepsake.example/internal/command"
)

// anchoring is what init is told of what the machine counts on.
type anchoring struct {
	kind      string
	tpm       chip
	pkcs11    slot
	custodian string // file with the custodian's secret
	replace   bool
	fleetKey  bool
}

func (n *anchoring) flags(f *flag.FlagSet) {
	f.StringVar(&n.kind, "anchor", kindSoftware, "`KIND` of what the machine counts on: tpm, pkcs11, or, for development, software or software-device")
	f.StringVar(&n.tpm.Path, "tpm-path", "/dev/tpmrm0", "`DEVICE` or socket of the TPM")
	f.Func("tpm-pcr", "`NUMBER` of a register that must stay as it is now; may be given again", func(s string) error {
		pcr, err := strconv.Atoi(s)
		n.tpm.PCRs = append(n.tpm.PCRs, pcr)
		return err
	})
	f.BoolVar(&n.tpm.Orderly, "tpm-orderly", false, "count in the chip's memory, not in its flash: faster, but a power cut costs the member")
	f.StringVar(&n.pkcs11.Module, "pkcs11-module", "", "`FILE` of the vendor's PKCS#11 library")
	f.StringVar(&n.pkcs11.Token, "pkcs11-token", "", "`LABEL` of the token")
	f.StringVar(&n.pkcs11.Serial, "pkcs11-serial", "", "serial `NUMBER` of the token, where labels are not unique")
	f.StringVar(&n.pkcs11.PINFile, "pin-file", "", "`FILE` with the token's user PIN, mode 600")
	f.StringVar(&n.custodian, "custodian", "", "`FILE` with the custodian's secret, the device's owner password or SO PIN; without it you are asked")
	f.BoolVar(&n.replace, "replace", false, "delete what an earlier machine left on the device, for good")
}

func (n *anchoring) check() error {
	switch {
	case n.fleetKey && n.kind == kindSoftware:
		return command.Usage("--fleet-key: the software anchor is no device that could keep it", "--anchor tpm, pkcs11 or software-device")
	case n.kind == kindPKCS11 && (n.pkcs11.Module == "" || n.pkcs11.Token == "" || n.pkcs11.PINFile == ""):
		return command.Usage("--pkcs11-module, --pkcs11-token and --pin-file belong to --anchor pkcs11", "see: doc/hsm-pkcs11.md")
	}
	return nil
}

// settle puts what was said into the configuration.
func (n *anchoring) settle(c *config) {
	c.Anchor = n.kind
	dir := c.TPM.Dir
	c.TPM = n.tpm
	c.TPM.Dir = dir
	if n.kind == kindPKCS11 {
		c.PKCS11 = n.pkcs11
		if file, err := filepath.Abs(n.pkcs11.PINFile); err == nil {
			c.PKCS11.PINFile = file
		}
	}
}

// prepare makes the machine's device ready, and a fleet key in it where one is wanted.
func (a *app) prepare(ctx context.Context, n *founding, c *config) (err error) {
	if !c.hasDevice() {
		return nil
	}
	if err := n.anchor.check(); err != nil {
		return err
	}
	custodian, err := a.secret(custodianSecret, n.anchor.custodian, true)
	if err != nil {
		return err
	}
	defer custodian.Wipe()
	if err := c.prepareDevice(ctx, custodian, n.anchor.replace); err != nil || !n.anchor.fleetKey {
		return err
	}
	d, err := c.openDevice(ctx)
	if err != nil {
		return err
	}
	_, err = d.MakeFleetKey(ctx, custodian)
	return errors.Join(err, d.Close())
}

const custodianSecret = "the custodian's secret"
