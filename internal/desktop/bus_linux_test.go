package desktop_test

import (
	"context"
	"net"
	"path/filepath"
	"testing"

	"keepsake.example/internal/desktop"
	"keepsake.example/internal/desktop/desktoptest"
)

func TestMetered(t *testing.T) {
	system, session := desktoptest.Bus(t), desktoptest.Bus(t)
	d := desktop.Desktop{SystemBus: system, SessionBus: session}
	if got := d.Metered(t.Context()); got != desktop.Unknown {
		t.Errorf("nobody is there: %v", got)
	}
	nm := desktoptest.NetworkManager(t, system)
	for state, want := range map[any]desktop.Answer{
		uint32(0): desktop.Unknown, uint32(1): desktop.Yes, uint32(2): desktop.No, uint32(3): desktop.Yes, uint32(4): desktop.No,
		uint32(5): desktop.Unknown, "yes": desktop.Unknown, int32(1): desktop.Unknown,
	} {
		nm.Set(state)
		if got := d.Metered(t.Context()); got != want {
			t.Errorf("NetworkManager says %v: %v, want %v", state, got, want)
		}
	}
	desktoptest.Portal(t, session, true)
	for state, want := range map[any]desktop.Answer{uint32(0): desktop.Yes, uint32(2): desktop.No} {
		nm.Set(state)
		if got := d.Metered(t.Context()); got != want {
			t.Errorf("the portal says yes, NetworkManager %v: %v, want %v", state, got, want)
		}
	}
	if got := (desktop.Desktop{SessionBus: session}).Metered(t.Context()); got != desktop.Yes {
		t.Errorf("the portal alone: %v", got)
	}
}

func TestTell(t *testing.T) {
	bus := desktoptest.Bus(t)
	d := desktop.Desktop{SessionBus: bus}
	m := desktop.Message{Title: "Backup failed", Text: "a < b & c"}
	if err := d.Tell(t.Context(), m); err == nil {
		t.Error("told nobody, and no error")
	}
	n := desktoptest.Notifications(t, bus)
	if err := d.Tell(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	m.Urgent = true
	if err := d.Tell(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	want := desktoptest.Shown{App: "Keepsake", Title: "Backup failed", Text: "a &lt; b &amp; c", Urgency: 1}
	got := n.Shown()
	if len(got) != 2 || got[0] != want || got[1].Urgency != 2 {
		t.Errorf("shown %+v", got)
	}
}

// What is no bus is no error that anybody has to deal with, and one that never answers is left.
func TestNoBus(t *testing.T) {
	silent := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", silent)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		// It is connected to, and says nothing: the caller's patience ends.
		if c, err := l.Accept(); err == nil {
			defer c.Close()
			cancel()
			<-t.Context().Done()
		}
	}()
	if got := (desktop.Desktop{SystemBus: "unix:path=" + silent}).Metered(ctx); got != desktop.Unknown {
		t.Errorf("a bus that says nothing: %v", got)
	}
	for _, address := range []string{"", "nonsense", "unix:", "unix:path=/nowhere", "autolaunch:"} {
		d := desktop.Desktop{SystemBus: address, SessionBus: address}
		if got := d.Metered(t.Context()); got != desktop.Unknown {
			t.Errorf("%q: %v", address, got)
		}
		if err := d.Tell(t.Context(), desktop.Message{}); err == nil {
			t.Errorf("%q: a message was shown", address)
		}
	}
}
