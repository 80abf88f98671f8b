package endtoend_test

import (
	"os"
	"testing"

	"keepsake.example/anchor/tpm/swtpm"
	"keepsake.example/internal/mounttest"
)

// newHardened makes and starts a system whose vault counts on a TPM, and has a fleet
// key in it.
func newHardened(t *testing.T) (*system, *swtpm.Chip) {
	t.Helper()
	if !swtpm.Installed() {
		mounttest.Missing(t, "swtpm is not installed")
	}
	dir := t.TempDir()
	chip := must(swtpm.Start(dir))
	t.Cleanup(func() { chip.Kill() })
	custodian := dir + "/custodian"
	check(t, os.WriteFile(custodian, []byte("a secret that is kept elsewhere\n"), 0o600))
	s := prepared(t, "--anchor", "tpm", "--tpm-path", chip.Path(), "--fleet-key", "--custodian", custodian)
	check(t, os.Remove(custodian))
	s.startAll(t)
	return s, chip
}

// The whole way with a key in hardware: what is set is hardened, and the password
// alone brings the chats back.
func TestPasswordWithAHardwareKey(t *testing.T) {
	t.Parallel()
	s, chip := newHardened(t)
	chats, err := history()
	check(t, err)
	old := s.newPhone(t, "ann@mail.example")
	old.enable(chats, "blue sofa on a tuesday")
	old.run("status").wants(0, "opens with", "which has a hardware key")
	old.run("vault", "status").wants(0, "hardware key")
	old.wantLeft(10)

	phone := s.newPhone(t, "ann@mail.example")
	phone.restore(phone.path("Chats"), old, "green sofa on a monday", "--enable").wants(11, "wrong password; 9 attempts left; next one now")
	phone.restore(phone.path("Chats"), old, "blue sofa on a tuesday", "--enable").wants(0)
	same(t, chats, phone.path("Chats"))
	phone.wantLeft(10)
	phone.run("password", "change", "--password-file", phone.secret("seven camels read the paper")).wants(0, "10 wrong passwords destroy it")
	third := s.newPhone(t, "ann@mail.example")
	third.restore(third.path("Chats"), old, "seven camels read the paper").wants(0)
	same(t, chats, third.path("Chats"))

	// Without its chip the vault answers nobody, and that is no wrong password.
	check(t, chip.Kill())
	fourth := s.newPhone(t, "ann@mail.example")
	fourth.restore(fourth.path("Chats"), old, "seven camels read the paper").wants(14)
}
