package outage_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// site is a data center: a network namespace with one cable to the outside.
type site struct {
	n    int      // 1 to 5
	name string   // and that of the cable's end outside
	bin  string   // the folder of its programs
	ns   *os.File // keeps the namespace
	out  *os.File // the namespace of the test
}

const outside = "10.77.0.254" // the test itself, where all cables end

func (s *site) ip() string { return fmt.Sprintf("10.77.0.%d", s.n) }

// newSites makes the namespaces, the bridge and the cables.
func newSites(t *testing.T, count int, bin string) []*site {
	t.Helper()
	ip(t, "link", "add", "hub", "type", "bridge")
	ip(t, "addr", "add", outside+"/24", "dev", "hub")
	ip(t, "link", "set", "hub", "up")
	var all []*site
	for n := 1; n <= count; n++ {
		all = append(all, newSite(t, n, bin))
	}
	return all
}

func newSite(t *testing.T, n int, bin string) *site {
	t.Helper()
	s := &site{n: n, name: fmt.Sprintf("site%d", n), bin: bin}
	onThread(func() {
		s.out = must(os.Open("/proc/thread-self/ns/net"))
		check(t, unix.Unshare(unix.CLONE_NEWNET))
		s.ns = must(os.Open("/proc/thread-self/ns/net"))
		check(t, unix.Setns(int(s.out.Fd()), unix.CLONE_NEWNET))
	})
	t.Cleanup(func() { s.ns.Close(); s.out.Close() })
	ip(t, "link", "add", s.name, "type", "veth", "peer", "name", "cable", "netns", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), s.ns.Fd()))
	ip(t, "link", "set", s.name, "master", "hub")
	s.plug(t)
	s.do(func() {
		ip(t, "link", "set", "lo", "up")
		ip(t, "addr", "add", s.ip()+"/24", "dev", "cable")
		ip(t, "link", "set", "cable", "up")
	})
	return s
}

// unplug cuts the cable; plug puts it back.
func (s *site) unplug(t *testing.T) { t.Helper(); ip(t, "link", "set", s.name, "down") }
func (s *site) plug(t *testing.T)   { t.Helper(); ip(t, "link", "set", s.name, "up") }

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// onThread runs f on a thread that nobody else uses meanwhile.
func onThread(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	f()
}

// do runs f inside the site: processes that it starts and sockets that it opens are
// there, and stay there.
func (s *site) do(f func()) {
	onThread(func() {
		if err := unix.Setns(int(s.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(err)
		}
		defer func() {
			if err := unix.Setns(int(s.out.Fd()), unix.CLONE_NEWNET); err != nil {
				panic(err) // this thread must not go on as another's
			}
		}()
		f()
	})
}

// client speaks to what listens inside the site.
func (s *site) client() *http.Client {
	dial := func(ctx context.Context, network, address string) (c net.Conn, err error) {
		s.do(func() { c, err = (&net.Dialer{}).DialContext(ctx, network, address) })
		return c, err
	}
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
}

// tmpfs mounts a small disk over a folder that is empty.
func tmpfs(t *testing.T, folder, size string) {
	t.Helper()
	check(t, os.MkdirAll(folder, 0o700))
	check(t, syscall.Mount("tmpfs", folder, "tmpfs", 0, "mode=700,size="+size))
	t.Cleanup(func() { syscall.Unmount(folder, syscall.MNT_DETACH) })
}
