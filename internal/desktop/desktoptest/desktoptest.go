// Package desktoptest has what tests of the desktop need: real message buses (dbus-daemon)
// and stand-ins for those who answer on them. It is for tests only.
//
// The stand-ins are fakes. FakeNetworkManager has the one property that is asked, with the
// values that NetworkManager's D-Bus interface lists (NMMetered: 0 unknown, 1 yes, 2 no, 3 probably
// yes, 4 probably no). FakeNotifications takes Notify with the signature of the Desktop Notifications
// Specification 1.2 and keeps what it is given; it shows and refuses nothing. FakePortal answers
// GetMetered of org.freedesktop.portal.NetworkMonitor.
package desktoptest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"

	"keepsake.example/internal/mounttest"
)

// anybody lets whoever connects own any name and call anyone: the bus of one test.
const anybody = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
<type>session</type>
<listen>unix:path=%s</listen>
<auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
`

// Bus starts a message bus that lives as long as the test, and gives its address.
func Bus(t testing.TB) (address string) {
	t.Helper()
	program, err := exec.LookPath("dbus-daemon")
	if err != nil {
		mounttest.Missing(t, "dbus-daemon is not installed; make test installs it")
	}
	// Not t.TempDir: an address of a socket has room for 107 bytes.
	dir, err := os.MkdirTemp("", "bus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	config := filepath.Join(dir, "config")
	if err := os.WriteFile(config, fmt.Appendf(nil, anybody, filepath.Join(dir, "bus")), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--nofork", "--print-address", "--config-file", config)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	// The address is printed once connections are taken.
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal("dbus-daemon: ", err)
	}
	address, _, _ = strings.Cut(strings.TrimSpace(line), ",guid=")
	return address
}

func own(t testing.TB, address, name, path, iface string, methods any) {
	t.Helper()
	c, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Export(methods, dbus.ObjectPath(path), iface); err != nil {
		t.Fatal(err)
	}
	reply, err := c.RequestName(name, dbus.NameFlagDoNotQueue)
	if err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(name, reply, err)
	}
}

// FakeNetworkManager says how the network is paid for.
type FakeNetworkManager struct {
	mu    sync.Mutex
	state any
}

// NetworkManager puts a FakeNetworkManager on a bus. It knows nothing at first.
func NetworkManager(t testing.TB, address string) *FakeNetworkManager {
	f := &FakeNetworkManager{state: uint32(0)}
	own(t, address, "org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager", "org.freedesktop.DBus.Properties", (*nmProperties)(f))
	return f
}

// Set sets what it answers: an uint32 of NMMetered, or what no NetworkManager would say.
func (f *FakeNetworkManager) Set(state any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state = state
}

type nmProperties FakeNetworkManager

// Get answers for the property Metered.
func (f *nmProperties) Get(iface, name string) (dbus.Variant, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if iface != "org.freedesktop.NetworkManager" || name != "Metered" {
		return dbus.Variant{}, dbus.MakeFailedError(fmt.Errorf("no property %s of %s", name, iface))
	}
	return dbus.MakeVariant(f.state), nil
}

// FakePortal is the desktop's portal.
type FakePortal struct{ Metered bool }

// Portal puts a FakePortal on a bus.
func Portal(t testing.TB, address string, metered bool) {
	own(t, address, "org.freedesktop.portal.Desktop", "/org/freedesktop/portal/desktop", "org.freedesktop.portal.NetworkMonitor", FakePortal{metered})
}

// GetMetered says what it was told to say.
func (f FakePortal) GetMetered() (bool, *dbus.Error) { return f.Metered, nil }

// Shown is one message that was to be shown.
type Shown struct {
	App, Title, Text string
	Urgency          byte
}

// FakeNotifications keeps what it is told.
type FakeNotifications struct {
	mu    sync.Mutex
	shown []Shown
	next  chan Shown
}

// Notifications puts a FakeNotifications on a bus.
func Notifications(t testing.TB, address string) *FakeNotifications {
	f := &FakeNotifications{next: make(chan Shown, 100)}
	own(t, address, "org.freedesktop.Notifications", "/org/freedesktop/Notifications", "org.freedesktop.Notifications", (*notifications)(f))
	return f
}

// Shown lists what it was told so far.
func (f *FakeNotifications) Shown() []Shown {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Shown(nil), f.shown...)
}

// Next is where each message is read once.
func (f *FakeNotifications) Next() <-chan Shown { return f.next }

type notifications FakeNotifications

// Notify is that of the specification.
func (f *notifications) Notify(app string, replaces uint32, icon, title, text string, actions []string, hints map[string]dbus.Variant, expire int32) (uint32, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	urgency, _ := hints["urgency"].Value().(byte)
	s := Shown{app, title, text, urgency}
	f.shown = append(f.shown, s)
	f.next <- s
	return uint32(len(f.shown)), nil
}
