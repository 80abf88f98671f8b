package endtoend_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"syscall"
	"testing"
)

// After ten wrong passwords the right one opens nothing, after a restart neither; and
// after the next checkpoint the key under which the vault's disk was written until
// then, with k on it, is in no file of the vault: an old copy of the disk stays shut.
//
// k itself is known to nobody outside the vault, so it cannot be looked for here; that
// it is gone from the memory and from what the disk holds under the new key is shown by
// vaultd.TestDestroyedKeyIsNowhere and vault.TestRule4.
func TestDestroyedForGood(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	owner, thief := victim(t, s, "ann")
	oldKey, image := epochKey(t, s), t.TempDir()
	check(t, os.CopyFS(image, os.DirFS(s.path("vaultd", "state"))))
	for i := range 9 {
		thief.guess(owner, "sofa number "+string(rune('a'+i))).wants(11)
	}
	thief.guess(owner, "green sofa on a monday").wants(13, "after 10 wrong passwords")
	thief.restore(thief.path("out"), owner, "blue sofa on a tuesday").wants(13, "only the 64-digit key or a new backup can help")
	if j := thief.guess(owner, "blue sofa on a tuesday").json(); j.Error.Code != "destroyed" || j.Error.Attempts.Destroyed == "" {
		t.Errorf("--json says %q, %+v", j.Error.Code, j.Error.Attempts)
	}
	if _, err := os.Stat(thief.path("out")); err == nil {
		t.Error("the thief has the chats")
	}

	ids := idsOf(t, owner)
	search := newSearcher(append(ids, &secret{name: "the old key of the disk", text: oldKey, places: []string{"anchor/anchor"}}))
	if _, leaks := search.folder(t, s.path("vaultd")); leaks != nil {
		t.Errorf("before the checkpoint: %q", leaks)
	}
	if !search.found["the old key of the disk in anchor/anchor"] {
		t.Error("the anchor does not hold the key of the disk")
	}
	s.command(t, "vaultd", "checkpoint", "--admin", s.vault.admin)
	if bytes.Equal(epochKey(t, s), oldKey) {
		t.Error("the checkpoint left the key of the disk as it was")
	}
	search = newSearcher(append(ids, &secret{name: "the old key of the disk", text: oldKey}))
	if _, leaks := search.folder(t, s.path("vaultd")); leaks != nil {
		t.Errorf("after the checkpoint: %q", leaks)
	}
	s.vault.end(syscall.SIGKILL)
	newest := t.TempDir()
	check(t, os.CopyFS(newest, os.DirFS(s.path("vaultd", "state"))))
	s.putBack(t, image)
	s.refusesToRun(t, 6, "rolled back")
	s.putBack(t, newest)
	s.startVault(t)
	thief.restore(thief.path("out"), owner, "blue sofa on a tuesday").wants(13)
	owner.run("vault", "status").wants(0, "DESTROYED")

	// Who still has the key is not shut out: a new password, and a new count.
	owner.run("password", "change", "--password-file", owner.secret("seven camels read the paper")).wants(0)
	owner.wantLeft(10)
	thief.restore(thief.path("out"), owner, "seven camels read the paper").wants(0)
}

// idsOf are the names of a record and of its account, which the disk must not show.
func idsOf(t *testing.T, p *phone) []*secret {
	t.Helper()
	var j struct{ Record, Account string }
	check(t, json.Unmarshal(must(os.ReadFile(p.path("profile", "vault.json"))), &j))
	return []*secret{
		{name: "the record's id", text: must(hex.DecodeString(j.Record))},
		{name: "the account's id", text: must(hex.DecodeString(j.Account))},
	}
}
