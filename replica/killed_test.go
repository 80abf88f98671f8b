package replica_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"keepsake.example/anchor"
	"keepsake.example/anchor/software"
	"keepsake.example/replica"
)

// The process that is killed is this test binary, with these set.
const (
	killDir  = "KEEPSAKE_TEST_KILL_DIR"
	killStep = "KEEPSAKE_TEST_KILL_STEP"
)

// A killer kills its own process before a given durable step.
type killer struct{ step, at int }

func (k *killer) next() {
	k.step++
	if k.step == k.at {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

type killDisk struct {
	replica.Disk
	k *killer
}

func (d killDisk) Open(name string) (replica.File, error) {
	f, err := d.Disk.Open(name)
	return killFile{f, d.k}, err
}

func (d killDisk) Create() (replica.Draft, error) {
	f, err := d.Disk.Create()
	return killDraft{f, d.k}, err
}

func (d killDisk) Remove(names ...string) error {
	for _, name := range names { // one at a time, so that it can die in between
		d.k.next()
		if err := d.Disk.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

type killFile struct {
	replica.File
	k *killer
}

func (f killFile) WriteAt(p []byte, at int64) (int, error) {
	f.k.next()
	half := len(p) / 2
	if n, err := f.File.WriteAt(p[:half], at); err != nil {
		return n, err
	}
	f.k.next()
	n, err := f.File.WriteAt(p[half:], at+int64(half))
	return half + n, err
}

func (f killFile) Sync() error {
	f.k.next()
	return f.File.Sync()
}

type killDraft struct {
	replica.Draft
	k *killer
}

func (d killDraft) Sync() error {
	d.k.next()
	return d.Draft.Sync()
}

func (d killDraft) Publish(name string) error {
	d.k.next()
	return d.Draft.Publish(name)
}

type killAnchor struct {
	anchor.Anchor
	k *killer
}

func (a killAnchor) Advance(ctx context.Context, s anchor.State) error {
	a.k.next()
	err := a.Anchor.Advance(ctx, s)
	a.k.next()
	return err
}

func (a killAnchor) Rotate(ctx context.Context, s anchor.State, key *anchor.Key) error {
	a.k.next()
	err := a.Anchor.Rotate(ctx, s, key)
	a.k.next()
	return err
}

// TestKilledChild is the process that dies; alone it does nothing.
func TestKilledChild(t *testing.T) {
	dir := os.Getenv(killDir)
	if dir == "" {
		return
	}
	p := place{dir + "/disk", dir + "/anchor"}
	k := &killer{at: must(strconv.Atoi(os.Getenv(killStep)))}
	a := must(software.Open(p.anchor))
	c := replica.Config{Disk: killDisk{must(replica.OpenFolder(p.disk)), k}, Anchor: killAnchor{a, k}, NewMachine: newToy}
	r := must(replica.Open(t.Context(), c))
	for i := range 3 {
		e := fmt.Sprintf("life %d entry %d", k.at, i)
		fmt.Println("proposed:", e)
		propose(t, r, e)
		fmt.Println("acknowledged:", e)
		if i == 1 {
			check(t, r.Checkpoint(t.Context()))
		}
	}
	check(t, r.Close())
	check(t, a.Close())
	fmt.Println("through")
}

// A real process is killed between every pair of durable steps, one life
// after another on the same disk and anchor.
func TestKilled(t *testing.T) {
	p := created(t)
	dir := strings.TrimSuffix(p.disk, "/disk")
	acknowledged, unknown := map[string]bool{}, map[string]bool{}
	for step := 1; ; step++ {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledChild$")
		cmd.Env = append(os.Environ(), killDir+"="+dir, killStep+"="+strconv.Itoa(step))
		out, err := cmd.CombinedOutput()
		through := false
		for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
			if e, ok := strings.CutPrefix(lines.Text(), "proposed: "); ok {
				unknown[e] = true
			}
			if e, ok := strings.CutPrefix(lines.Text(), "acknowledged: "); ok {
				acknowledged[e] = true
			}
			through = through || lines.Text() == "through"
		}
		if err == nil != through || !through && !strings.Contains(err.Error(), "killed") {
			t.Fatalf("killed at step %d: %v\n%s", step, err, out)
		}
		p.run(t, func(r *replica.Replica) { wantAll(t, r, acknowledged, unknown) })
		if through {
			if step < 20 {
				t.Errorf("only %d steps", step)
			}
			return
		}
	}
}
