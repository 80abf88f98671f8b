package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"keepsake.example/anchor/pkcs11/softhsm"
	"keepsake.example/anchor/tpm/swtpm"
	"keepsake.example/internal/command"
	"keepsake.example/internal/durable"
)

// stage is where a rehearsal is played: a folder and a device, both thrown away after it.
type stage struct {
	dir  string
	stop func() error // of the device
}

// setStage makes a stage in dir, and puts its device in the place of the real one.
func setStage(ctx context.Context, dir string, n *founding) (s *stage, err error) {
	s = &stage{filepath.Join(dir, "rehearsal"), func() error { return nil }}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the rehearsal: %w", err)
	}
	switch n.anchor.kind {
	case kindSoftware:
	case kindTPM:
		err = errors.Join(s.madeUp(n), s.chip(n))
	case kindPKCS11:
		err = s.token(ctx, n)
	default:
		err = s.madeUp(n)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("setting the stage: %w", err), s.strike())
	}
	return s, nil
}

func (s *stage) strike() error { return errors.Join(s.stop(), os.RemoveAll(s.dir)) }

// madeUp is a custodian's secret for the rehearsal alone.
func (s *stage) madeUp(n *founding) error {
	n.anchor.custodian = filepath.Join(s.dir, "custodian")
	return durable.CreateExclusive(n.anchor.custodian, []byte(rand.Text()+"\n"), 0o600)
}

func (s *stage) chip(n *founding) error {
	if !swtpm.Installed() {
		return command.Fail(command.NotFound, "no TPM to rehearse with: the program swtpm is not installed", "apt-get install swtpm; or rehearse with --anchor software-device --insecure-software-anchor")
	}
	dir := filepath.Join(s.dir, "chip")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	chip, err := swtpm.Start(dir)
	if err != nil {
		return err
	}
	s.stop = chip.Stop
	n.anchor.tpm.Path = chip.Path()
	return nil
}

func (s *stage) token(ctx context.Context, n *founding) error {
	store, err := softhsm.New(filepath.Join(s.dir, "tokens"))
	if errors.Is(err, softhsm.ErrMissing) {
		return command.Fail(command.NotFound, "no token to rehearse with: "+err.Error(), "apt-get install softhsm2; or rehearse with --anchor software-device --insecure-software-anchor")
	}
	if err != nil {
		return err
	}
	token, err := store.Token(ctx, "rehearsal")
	if err != nil {
		return err
	}
	n.anchor.custodian = store.CustodianFile()
	n.anchor.pkcs11 = slot{Module: token.Module, Token: token.Token, Serial: token.Serial, PINFile: token.PINFile}
	return nil
}
