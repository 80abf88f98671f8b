package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/ceremony"
	"keepsake.example/fleet"
	"keepsake.example/vaultd"
)

// The steps of a ceremony, in their order.

func (s *script) whoIsHere() error {
	var facts []ceremony.Fact
	for _, op := range s.n.fleet.sorted() {
		facts = append(facts, ceremony.Fact{Name: "operator", Value: fmt.Sprintf("%s %x", op.Name, op.Key)})
	}
	facts = append(facts, ceremony.Fact{Name: "quorum", Value: fmt.Sprintf("%d of %d", s.n.fleet.quorum, len(s.n.fleet.operators))})
	for _, note := range s.o.ceremony.notes {
		facts = append(facts, ceremony.Fact{Name: "note", Value: note})
	}
	return s.step("who is here: each operator compares the own key", facts...)
}

func (s *script) program() error {
	digest, err := ownDigest()
	if err != nil {
		return err
	}
	facts := []ceremony.Fact{{Name: "sha256", Value: digest}, {Name: "built-with", Value: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH}}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if name, ok := map[string]string{"vcs.revision": "commit", "vcs.modified": "modified", "CGO_ENABLED": "cgo"}[setting.Key]; ok && setting.Value != "" {
				facts = append(facts, ceremony.Fact{Name: name, Value: setting.Value})
			}
		}
	}
	facts = append(facts, ceremony.Fact{Name: "protocol", Value: fmt.Sprint(vaultd.Version)})
	return s.step("the program: compare with the one that you built", facts...)
}

// ownDigest is the SHA-256 of this program's file. A program that lies would lie here
// too: sha256sum, from another disk, is the better witness.
func ownDigest() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding the program's own file: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading the program's own file: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("reading the program's own file: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (s *script) rules() error {
	p := s.n.policy()
	facts := []ceremony.Fact{{Name: "attempts", Value: fmt.Sprint(p.MaxAttempts)}}
	for i, wait := range p.Waits {
		facts = append(facts, ceremony.Fact{Name: "wait", Value: fmt.Sprintf("%s after attempt %d", span(wait), i+1)})
	}
	facts = append(facts,
		ceremony.Fact{Name: "cool-down", Value: span(p.CoolDown)}, ceremony.Fact{Name: "grace", Value: span(p.Grace)},
		ceremony.Fact{Name: "groups", Value: fmt.Sprint(max(1, s.n.fleet.groups))},
		ceremony.Fact{Name: "issuer", Value: s.n.issuer}, ceremony.Fact{Name: "audience", Value: s.n.audience},
	)
	for _, choice := range s.c.insecure() {
		facts = append(facts, ceremony.Fact{Name: "insecure", Value: choice})
	}
	return s.step("the rules: they can only become stricter", facts...)
}

func span(milliseconds uint64) string {
	return (time.Duration(milliseconds) * time.Millisecond).String()
}

// founded is the last step: what came out.
func (s *script) founded(result *initJSON) error {
	bundle, err := os.ReadFile(result.Bundle)
	if err != nil {
		return fmt.Errorf("reading the bundle: %w", err)
	}
	card, err := readCard(result.Card)
	if err != nil {
		return err
	}
	id, err := fleet.ParseID(result.Fleet)
	if err != nil {
		return err
	}
	b, err := fleet.Open(bundle, id)
	if err != nil {
		return fmt.Errorf("opening the fleet's own bundle: %w", err)
	}
	facts := []ceremony.Fact{
		{Name: "fleet", Value: result.Fleet}, {Name: "bundle", Value: fmt.Sprintf("%x", sha256.Sum256(bundle))},
		{Name: "channel-keys", Value: fmt.Sprintf("%d, serial %d", len(b.Keys), b.Serial)},
		{Name: "server-pin", Value: result.Server},
		{Name: "member", Value: "1 " + card.Name}, {Name: "data-center", Value: card.DataCenter}, {Name: "address", Value: card.Address},
		{Name: "identity", Value: hex.EncodeToString(card.Identity[:])},
		{Name: "sealing", Value: fmt.Sprintf("%d bytes, sha256 %x", len(card.Sealing), sha256.Sum256(card.Sealing))},
	}
	return s.step("the fleet: clients pin this id", facts...)
}

// device is two steps: what will be written to, and, once that was agreed to, what it
// says of itself and which keys were made in it.
func (s *script) device(ctx context.Context) error {
	if !s.c.hasDevice() {
		return s.step("the device", ceremony.Fact{Name: "anchor", Value: s.c.Anchor}, ceremony.Fact{Name: "protects", Value: "nothing: it is files, for development"})
	}
	facts := []ceremony.Fact{{Name: "anchor", Value: s.c.Anchor}, {Name: "at", Value: s.c.deviceName()}}
	if s.n.anchor.replace {
		facts = append(facts, ceremony.Fact{Name: "replaces", Value: "what an earlier machine left on it, for good"})
	}
	if err := s.step("the device: it is made ready next, with the custodian's secret", facts...); err != nil {
		return err
	}
	if err := s.prepare(ctx, s.n, s.c); err != nil {
		return err
	}
	facts, err := s.described(ctx)
	if err != nil {
		return err
	}
	return s.step("what the device says of itself, and its keys", facts...)
}

func (s *script) described(ctx context.Context) (facts []ceremony.Fact, err error) {
	d, err := s.c.openDevice(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	says := d.Describe()
	facts = []ceremony.Fact{{Name: "device", Value: says.Name}, {Name: "protects", Value: says.Protects}}
	own, err := d.Exchanger(ctx)
	if err != nil {
		return nil, fmt.Errorf("making the machine's own key: %w", err)
	}
	facts = append(facts, ceremony.Fact{Name: "own-key", Value: hex.EncodeToString(own.PublicKey().Bytes())})
	switch key, err := d.FleetKey(ctx); {
	case errors.Is(err, anchor.ErrNoFleetKey):
		facts = append(facts, ceremony.Fact{Name: "fleet-key", Value: "none"})
	case err != nil:
		return nil, fmt.Errorf("reading the fleet key: %w", err)
	default:
		facts = append(facts, ceremony.Fact{Name: "fleet-key", Value: fmt.Sprintf("%x", key.Public())})
	}
	return facts, nil
}

// deviceName is where the device is.
func (c *config) deviceName() string {
	switch c.Anchor {
	case kindTPM:
		return c.TPM.Path
	case kindPKCS11:
		return "token " + c.PKCS11.Token + ", " + c.PKCS11.Module
	}
	return c.playedDir()
}
