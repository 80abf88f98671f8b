//go:build !race

package vaultd_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"keepsake.example/fleet"
	"keepsake.example/sealed"
	"keepsake.example/vaultapi"
)

// The process that makes the proposal is this test binary, with this set.
const proposeEnv = "KEEPSAKE_TEST_PROPOSE"

// errand is what the client's process is told, and proposed what it answers: k only
// masked, so that the vault's process has no k but the one it was sent.
type errand struct {
	Bundle, Fleet, Device []byte
	Token                 string
	Now                   uint64
}

type proposed struct{ Request, Record, Masked []byte }

// TestProposeChild is the client's process; alone it does nothing.
func TestProposeChild(t *testing.T) {
	text := os.Getenv(proposeEnv)
	if text == "" {
		return
	}
	var e errand
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatal(err)
	}
	bundle := must(fleet.Open(e.Bundle, sealed.FleetID(e.Fleet)))
	p := &person{device: e.Device}
	r := &vaultapi.Request{Token: e.Token, Body: p.proposal("right")}
	r.Bind([32]byte(e.Fleet), e.Device)
	request, _, err := must(bundle.Current(e.Now)).Seal(must(r.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("%s\n", must(json.Marshal(proposed{request, p.record[:], mask(p)})))
}

// propose lets another process register the person.
func (p *person) propose(t *testing.T) (masked []byte) {
	t.Helper()
	w := p.w
	text := must(json.Marshal(errand{w.server.Bundle(), w.fleet[:], p.device, p.token(), w.now()}))
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProposeChild$")
	cmd.Env = append(os.Environ(), proposeEnv+"="+string(text))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var made proposed
	line, _, _ := bytes.Cut(out, []byte("\n"))
	if err := json.Unmarshal(line, &made); err != nil {
		t.Fatal(err)
	}
	if status, body, _ := w.post(made.Request); status != 200 {
		t.Fatalf("HTTP %d %q", status, body)
	}
	p.record = vaultapi.ID(made.Record)
	wants(t, p.ask(&vaultapi.ConfirmBody{Record: p.record}), vaultapi.OK)
	return made.Masked
}

// k is where it has to be, the account and the log since the last checkpoint, and
// nowhere else: also not in memory that was given back. Rule 4, all the way: after
// the tenth wrong password and a checkpoint it is nowhere, stacks included. Without
// garbage collection no copy on the heap is overwritten by chance. What the standard
// library leaves on a stack is overwritten by what is called next, but not in a build
// for the race detector, where a hash of Ed25519 keeps it.
func TestDestroyedKeyIsNowhereInMemory(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	w := newWorld(t)
	p := w.person("alice")
	masked := p.propose(t)
	if n := inMemory(t, masked); n != 2 {
		t.Errorf("the k of a live record is at %d places in memory, want 2", n)
	}
	for range 10 {
		a := wants(t, p.ask(newGuess("wrong").body), vaultapi.OK)
		w.clock.advance(time.Duration(max(a.Next, a.Time)-a.Time) * time.Millisecond)
	}
	w.clock.advance(2 * time.Hour)
	w.keep(0)
	if r := w.admin("POST", "/checkpoint"); r.Code != 204 {
		t.Fatalf("checkpoint: %d %s", r.Code, r.Body)
	}
	if n := inMemory(t, masked); n != 0 {
		t.Errorf("k is still at %d places in memory", n)
	}
}

// inMemory counts where the unmasked bytes are in the memory of this process.
func inMemory(t *testing.T, masked []byte) (places int) {
	t.Helper()
	mem := must(os.Open("/proc/self/mem"))
	defer mem.Close()
	// Not on the heap: it would be searched, and keep what it read.
	buf := must(unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE))
	defer unix.Munmap(buf)
	for _, r := range writable(t) {
		for at := r.from; at < r.to; at += uint64(len(buf) - len(masked) + 1) {
			n, _ := mem.ReadAt(buf[:min(uint64(len(buf)), r.to-at)], int64(at))
			for i := range buf[:n] {
				buf[i] ^= 0xa5 // the needle stays masked
			}
			places += bytes.Count(buf[:n], masked)
			clear(buf) // it will be searched, too
		}
	}
	return places
}

type region struct{ from, to uint64 }

// writable are the parts of memory of no file that can be written: Go's heap and
// stacks, wherever it put them. The race detector's shadow is larger than anything of ours.
func writable(t *testing.T) (list []region) {
	t.Helper()
	maps := must(os.Open("/proc/self/maps"))
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var r region
		var mode, offset, device string
		var inode uint64
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s %s %s %d", &r.from, &r.to, &mode, &offset, &device, &inode); err != nil {
			t.Fatal(err)
		}
		if inode == 0 && strings.HasPrefix(mode, "rw") && r.to-r.from < 1<<30 {
			list = append(list, r)
		}
	}
	return list
}
