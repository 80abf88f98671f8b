package endtoend_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// "A machine was stolen" of doc/disaster.md: with its files, its anchor and its keys the thief has a member that
// nobody hears, and not even with the keys of the links of a member that stays has it a voice. Service goes on,
// with another secret, and another machine takes the place.
func TestMachineStolen(t *testing.T) {
	t.Parallel()
	d := newDrill(t)
	f := d.found(t, "old")
	d.relayFor(t, f)
	owner, guesser := d.managed(t, "ann"), d.managed(t, "ann")
	owner.enable(folder(t), "blue sofa on a tuesday")
	d.guesses(guesser, owner, 9)
	home, other, stolen := f.members[0], f.members[1], f.members[2]
	stolen.end(syscall.SIGKILL)
	loot := d.loot(t, stolen)

	// The page, step by step.
	for _, part := range []string{"remove 3", "until the secret of every group is one higher", "it is member 4"} {
		if out := d.command(t, "vaultd", "replace", "3", "--config", home.config); !strings.Contains(out, part) {
			t.Errorf("vaultd replace does not say %q\n%s", part, out)
		}
	}
	d.change(t, f, home, "remove", "3")
	awaitSecret(t, 1, home, other)
	d.guesses(guesser, owner, 8)

	loot.run(t)
	d.stands(t, loot)
	answersNobody(t, f, loot)
	d.refuses(t, 15, "", "vaultd", "operator", "submit", d.signed(t, loot, 3, "remove", "1"), "--config", loot.config, "--yes")
	end(loot)
	d.isNotTheOther(t, f, stolen, other)

	m := d.machine(t, f, d.path("old", "4"), "--join", f.fleet)
	d.change(t, f, home, "add", filepath.Join(m.home(), "member.card"))
	d.command(t, "vaultd", "join", "--config", m.config, "--from", home.admin)
	m.run(t)
	m.awaitReady(t)
	d.change(t, f, home, "promote", "4")
	d.command(t, "vaultd", append(shown(t, "../doc/disaster.md", "vaultd operator rekey"), "--config", m.config)...)
	awaitSecret(t, 2, home, other, m)
	d.guesses(guesser, owner, 7)
}

// loot is a copy of a machine's files, to be run in its place.
func (d *drill) loot(t *testing.T, from *daemon) *daemon {
	t.Helper()
	m := &daemon{name: "vaultd", config: filepath.Join(t.TempDir(), "loot", "vaultd.toml")}
	check(t, os.CopyFS(m.home(), os.DirFS(from.home())))
	return m
}

// isNotTheOther gives the stolen state the keys and the place of a member that stays, which is down, and which the
// fleet needs to decide anything.
func (d *drill) isNotTheOther(t *testing.T, f *vaults, stolen, other *daemon) {
	t.Helper()
	home := f.members[0]
	end(other)
	twin := d.loot(t, stolen)
	check(t, os.WriteFile(filepath.Join(twin.home(), "member.keys"), must(os.ReadFile(filepath.Join(other.home(), "member.keys"))), 0o600))
	d.edit(t, twin.config, func(text string) string { return settings(text, "peers", strconv.Quote(f.peers[1])) })
	twin.run(t)
	for _, m := range []*daemon{home, twin} {
		d.stands(t, m)
		answersNobody(t, f, m)
	}
	if linked(t, home, 2) {
		t.Error("member 1 takes the thief for member 2")
	}
	end(twin)
	other.run(t)
	other.awaitReady(t)
}

// stand is what these tests read of vaultd's status.
type stand struct {
	Members []struct {
		Number uint64
		Link   string
	}
	Groups []struct {
		Secret struct {
			Generation           uint64
			Behind, Turning, Due bool
		}
	}
}

func standing(t *testing.T, m *daemon) (s stand) {
	t.Helper()
	_, text := m.look("/status")
	if err := json.Unmarshal(text, &s); err != nil {
		t.Logf("%v in %s", err, text)
	}
	return s
}

func linked(t *testing.T, m *daemon, number uint64) bool {
	t.Helper()
	for _, x := range standing(t, m).Members {
		if x.Number == number {
			return x.Link == "up"
		}
	}
	return false
}

// awaitSecret waits until members have a secret of the root group, and none before it.
func awaitSecret(t *testing.T, generation uint64, members ...*daemon) {
	t.Helper()
	for _, m := range members {
		await(t, m.config+" to have the new secret", func() bool {
			g := standing(t, m).Groups
			return len(g) > 0 && g[0].Secret.Generation == generation && !g[0].Secret.Behind && !g[0].Secret.Turning && !g[0].Secret.Due
		})
	}
}
