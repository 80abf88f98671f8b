package client_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepsake.example/client"
	"keepsake.example/client/clienttest"
	"keepsake.example/fleet"
	"keepsake.example/key"
	"keepsake.example/password"
	"keepsake.example/vaultapi"
)

// fewer is the default policy with fewer attempts.
func fewer(attempts uint8) fleet.Policy {
	p := fleet.DefaultPolicy()
	p.MaxAttempts, p.Waits = attempts, p.Waits[:attempts-1]
	return p
}

// A policy that becomes stricter between the bundle and the registration costs nobody anything: the
// record is made anew, with the attempts there are now.
func TestPolicyChangesDuringRegistration(t *testing.T) {
	p := newPerson(t)
	c, times := p.device(), 0
	c.TestingStep(func(name string) error {
		if name == "announced" {
			if times++; times == 1 {
				p.server.Restrict(fewer(6))
			}
		}
		return nil
	})
	k, err := key.Generate()
	if err != nil {
		t.Fatal(err)
	}
	done, err := c.Protect(ctx, p.access(), k, typed("a good password"), client.ProtectOptions{})
	if err != nil || done.Limit != 6 || times != 2 {
		t.Fatalf("%+v, %v; %d records made", done, err, times)
	}
	if r := p.status(); !r.Live || r.Limit != 6 || r.Left != 6 {
		t.Errorf("the vault keeps %+v", r)
	}
	// What the vault does not know for another reason is not asked for again and again.
	p.server.Lie = func(kind vaultapi.Type, a *vaultapi.Answer) {
		if kind == vaultapi.Propose {
			*a = vaultapi.Answer{Code: vaultapi.Unsupported, Time: a.Time}
		}
	}
	before := p.server.Asked(vaultapi.Propose)
	_, err = p.device().Protect(ctx, p.access(), k, typed("another password"), client.ProtectOptions{})
	wants(t, err, password.ErrUnsupported)
	if n := p.server.Asked(vaultapi.Propose) - before; n != 1 {
		t.Errorf("proposed %d times", n)
	}
}

// A policy only becomes stricter. A fleet that signs a weaker one is refused, and nothing is sealed to
// it, whatever it says of the rest.
func TestWeakerPolicyIsRefused(t *testing.T) {
	insecure := fewer(6)
	insecure.Insecure = true
	for name, change := range map[string]func(*fleet.Policy){
		"attempts":  func(p *fleet.Policy) { *p = fleet.DefaultPolicy(); p.Insecure = true },
		"a wait":    func(p *fleet.Policy) { p.Waits = append([]uint64{}, p.Waits...); p.Waits[3] -= 1 },
		"cool-down": func(p *fleet.Policy) { p.CoolDown-- },
		"grace":     func(p *fleet.Policy) { p.Grace++ },
		"no flag":   func(p *fleet.Policy) { p.Insecure = false },
	} {
		t.Run(name, func(t *testing.T) {
			p := &person{world: newWorld(t)}
			p.server = clienttest.NewPolicy(t, insecure)
			accepted := p.access()
			accepted.AcceptInsecure = true
			if _, err := p.device().VaultStatus(ctx, accepted); err != nil {
				t.Fatal(err)
			}
			before := p.server.Asked(vaultapi.Status)
			change(&p.server.Policy)
			p.server.Rotate()
			_, err := p.device().VaultStatus(ctx, accepted)
			wants(t, err, password.ErrDishonest)
			if !strings.Contains(err.Error(), "weaker than") || p.server.Asked(vaultapi.Status) != before {
				t.Errorf("%v, and asked %d times", err, p.server.Asked(vaultapi.Status)-before)
			}
			p.server.Policy = insecure
			p.server.Rotate()
			if _, err := p.device().VaultStatus(ctx, accepted); err != nil {
				t.Errorf("with the policy as it was: %v", err)
			}
		})
	}
}

// A stricter one is taken, and from then on it is the one that counts; a device of before this was
// written down takes the first that it sees.
func TestStricterPolicyIsTaken(t *testing.T) {
	p := newPerson(t)
	p.status()
	p.server.Restrict(fewer(7))
	p.status()
	p.server.Policy = fleet.DefaultPolicy()
	p.server.Rotate()
	_, err := p.device().VaultStatus(ctx, p.access())
	wants(t, err, password.ErrDishonest)
	file := filepath.Join(p.profile, "vault.json")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	st, err := client.DecodeVaultState(data)
	if err != nil || st.Policy == nil || st.Policy.MaxAttempts != 7 {
		t.Fatalf("%+v, %v", st, err)
	}
	st.Policy = nil
	if err := p.device().TestingWriteVaultState(st); err != nil {
		t.Fatal(err)
	}
	p.status()
	st.Policy = &client.SeenPolicy{}
	st.Policy.MaxAttempts = 11
	if err := p.device().TestingWriteVaultState(st); err == nil {
		t.Error("a policy that is none was written")
	}
}
