//go:build !windows

package main

import (
	"os"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"keepsake.example/client/clienttest"
	"keepsake.example/fleet"
	"keepsake.example/vaultapi"
)

// servers are those of all scripts, by the path of the card.
var servers sync.Map

// cmdServer starts a vault and its chatd, and writes the card and the code that it
// would send: "server card.json [insecure|hardware]".
func cmdServer(t *testing.T, ts *testscript.TestScript, args []string) {
	policy := fleet.DefaultPolicy()
	policy.Insecure = len(args) > 1 && args[1] == "insecure"
	s := clienttest.NewPolicy(t, policy)
	if len(args) > 1 && args[1] == "hardware" {
		s.Harden(&hardwareKey)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), s.Card().Card(), 0o644))
	ts.Check(os.WriteFile(ts.MkAbs("code.txt"), []byte(s.Code+"\n"), 0o600))
	servers.Store(ts.MkAbs(args[0]), s)
}

// cmdHardware has the fleet lose the key in its hardware, or have it: "hardware
// card.json gone", "hardware card.json back".
func cmdHardware(ts *testscript.TestScript, neg bool, args []string) {
	h := &hardwareKey
	if args[1] == "gone" {
		h = nil
	}
	serverOf(ts, args[0]).Harden(h)
}

var hardwareKey = [32]byte{31: 7}

func serverOf(ts *testscript.TestScript, card string) *clienttest.Server {
	s, ok := servers.Load(ts.MkAbs(card))
	if !ok {
		ts.Fatalf("no server %s", card)
	}
	return s.(*clienttest.Server)
}

var (
	requestTypes = map[string]vaultapi.Type{
		"propose": vaultapi.Propose, "confirm": vaultapi.Confirm, "attempt": vaultapi.Attempt, "prove": vaultapi.Prove, "delete": vaultapi.Delete,
	}
	faults = map[string]clienttest.Fault{"lost": clienttest.Lost, "unanswered": clienttest.Unanswered}
)

// cmdFault makes requests of one type fail, or none: "fault card.json attempt
// unanswered", "fault card.json attempt dishonest", "fault card.json down", "fault
// card.json none".
func cmdFault(ts *testscript.TestScript, neg bool, args []string) {
	s := serverOf(ts, args[0])
	s.Set(nil, nil)
	switch args[1] {
	case "none":
	case "down":
		s.HTTP.Close()
	default:
		t := requestTypes[args[1]]
		if args[2] == "dishonest" {
			s.Set(nil, func(_ vaultapi.Type, a *vaultapi.Answer) {
				if e, ok := a.Body.(*vaultapi.Evaluation); ok {
					e.Proof[0] ^= 1
				}
			})
			return
		}
		s.Set(func(got vaultapi.Type) clienttest.Fault {
			if got == t {
				return faults[args[2]]
			}
			return clienttest.None
		}, nil)
	}
}

// cmdAdvance lets time pass at the vault: "advance card.json 48h".
func cmdAdvance(ts *testscript.TestScript, neg bool, args []string) {
	d, err := time.ParseDuration(args[1])
	ts.Check(err)
	serverOf(ts, args[0]).Advance(d)
}
