package clouds_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"keepsake.example/cloud/faulty"
)

// positions of a pack's upload at which connections are reset; a negative one counts
// from its end.
func positions() []int64 {
	sampled := []int64{1, 65_537, 5 << 20, -1}
	if *long {
		for at := int64(1 << 20); at < 11<<20; at += 1 << 20 {
			sampled = append(sampled, at, at+1)
		}
	}
	return sampled
}

// The connection is reset at many positions of a pack's upload, before it, and in
// place of the answer. A run that may not try again ends with the exit code for a
// network and says so; the one after it goes on.
func TestResetsEndRuns(t *testing.T) {
	t.Parallel()
	p := newPerson(t, s3(t), must(history()))
	faults := []faulty.Fault{{Refuse: true}}
	for _, at := range positions() {
		faults = append(faults, faulty.Fault{CutUp: at})
	}
	faults = append(faults, faulty.Fault{Lose: true}) // after it there is nothing left to lose
	for i, f := range faults {
		p.site.SetPlan(func(r faulty.Request) faulty.Fault {
			if isPack(r) {
				return fromTheEnd(f, r)
			}
			return faulty.Fault{}
		})
		p.impatient().wants(8, "hint:", "nothing is lost")
		if got := p.site.Counts().Faults; got <= i {
			t.Errorf("%+v: no fault was met", f)
		}
	}
	p.site.SetPlan(nil)
	p.backup().wants(0)
	p.wantNothingTwice(t, len(faults))
	p.verified()
	p.restored()
}

// The same, in one run that tries again.
func TestResetsInOneRun(t *testing.T) {
	t.Parallel()
	p := newPerson(t, s3(t), must(history()))
	faults := []faulty.Fault{{Lose: true}, {Refuse: true}}
	for _, at := range positions() {
		faults = append(faults, faulty.Fault{CutUp: at})
	}
	n := len(faults)
	p.site.SetPlan(onPacks(faults...))
	p.backup().wants(0)
	if got := p.site.Counts().Faults; got != n {
		t.Errorf("%d of %d faults met", got, n)
	}
	p.wantNothingTwice(t, n)
	p.verified()
	p.restored()
}

// WebDAV and SFTP write in place, and move what is whole.
func TestResetsElsewhere(t *testing.T) {
	t.Parallel()
	for name, where := range map[string]func(*testing.T) *site{"WebDAV": webdav, "SFTP": ssh} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPerson(t, where(t), must(history()))
			if name == "SFTP" {
				p.site.SetWay(faulty.Way{Cut: func(n int) (up, down int64) { return int64(n%3) * 9_999_999, 0 }})
			} else {
				p.site.SetPlan(onPacks(faulty.Fault{CutUp: 1}, faulty.Fault{Lose: true}, faulty.Fault{CutUp: 9_999_999}, faulty.Fault{Refuse: true}))
			}
			p.backup().wants(0)
			if c := p.site.Counts(); c.Faults == 0 && c.Connections < 3 {
				t.Errorf("no fault was met: %+v", c)
			}
			p.site.SetWay(faulty.Way{})
			p.site.SetPlan(nil)
			p.verified()
			p.restored()
		})
	}
}

// Nothing comes any more, and nothing says so: connections that a router forgot.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	p := newPerson(t, s3(t), must(history()))
	p.site.SetPlan(onPacks(faulty.Fault{}, faulty.Fault{Silent: true, CutUp: 3_000_000}))
	p.backup().wants(0)
	if p.site.Counts().Faults != 1 {
		t.Error("no fault was met")
	}
	p.site.SetPlan(func(r faulty.Request) faulty.Fault {
		return faulty.Fault{Silent: r.N == 3 || r.N == 5}
	})
	p.site.Forget()
	p.restored()
	if p.site.Counts().Faults == 0 {
		t.Error("restoring met no fault")
	}
}

// keepsake is killed while packs are under way. Its other process ends by itself.
func TestKeepsakeKilled(t *testing.T) {
	t.Parallel()
	for name, where := range map[string]func(*testing.T) *site{"S3": s3, "SFTP": ssh} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPerson(t, where(t), must(history()))
			for i, after := range []int64{5_000_000, 2_000_000} {
				r := p.upload(t, after)
				child := r.child()
				check(t, r.cmd.Process.Kill())
				r.wait().wants(-1)
				p.site.SetWay(faulty.Way{})
				await(t, "keepsake-cloud to end", func() bool { return ended(child) })
				if i == 0 {
					p.run("snapshots", "--profile", p.path("profile")).wants(0)
				}
			}
			p.backup().wants(0)
			p.wantNothingTwice(t, 2)
			p.verified()
			p.restored()
		})
	}
}

// keepsake-cloud is killed, and the same run goes on with another.
func TestCloudProgramKilled(t *testing.T) {
	t.Parallel()
	p := newPerson(t, s3(t), must(history()))
	r := p.upload(t, 5_000_000)
	child := r.child()
	check(t, syscall.Kill(child, syscall.SIGKILL))
	p.site.SetWay(faulty.Way{})
	r.wait().wants(0)
	p.wantNothingTwice(t, 1)
	p.verified()
	p.restored()
}

// upload starts a backup over a narrow way, and returns when so many more bytes have
// passed.
func (p *person) upload(t *testing.T, after int64) *running {
	t.Helper()
	// What a program that was killed had sent is on its way for seconds after it: megabytes, which
	// would be taken for those of the one that starts now, before it has a child.
	p.site.Reset()
	before := p.site.Counts().Up
	p.site.SetWay(faulty.Way{Rate: 8_000_000})
	r := p.begin("keepsake", "backup", "--profile", p.path("profile"))
	await(t, "bytes to pass", func() bool {
		if ended(r.cmd.Process.Pid) {
			r.wait().wants(-1)
		}
		return p.site.Counts().Up >= before+after
	})
	return r
}

// child finds the keepsake-cloud that keepsake has started.
func (r *running) child() (pid int) {
	r.t.Helper()
	if pid := findChild(r.cmd.Process.Pid); pid != 0 {
		return pid
	}
	r.cmd.Process.Kill()
	r.wait()
	r.t.Fatalf("keepsake has no child, and says:\n%s%s", r.result.out, r.result.errs)
	return 0
}

func childOf(t *testing.T, parent int) (pid int) {
	t.Helper()
	if pid = findChild(parent); pid == 0 {
		t.Fatal("keepsake has no child")
	}
	return pid
}

// findChild finds a process by its parent; 0 if there is none.
func findChild(parent int) (pid int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	for _, name := range stats {
		text, err := os.ReadFile(name) // it may have ended meanwhile
		_, rest, ok := strings.Cut(string(text), ") ")
		if fields := strings.Fields(rest); err == nil && ok && len(fields) > 1 && fields[1] == fmt.Sprint(parent) {
			return must(strconv.Atoi(filepath.Base(filepath.Dir(name))))
		}
	}
	return 0
}

// ended says that a process is gone, or waits to be buried by who adopted it.
func ended(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) {
		return true
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return strings.HasPrefix(rest, "Z")
}
