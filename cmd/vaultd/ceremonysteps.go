package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"time"

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

// device says what keeps the counts and the keys.
func (s *script) device(context.Context) error {
	return s.step("the device", ceremony.Fact{Name: "anchor", Value: s.c.Anchor}, ceremony.Fact{Name: "protects", Value: "nothing: it is software, for development"})
}
