// Package desktop asks the system what a backup that nobody watches should know
// (does the device run on its battery, is the network paid for by the byte), and
// tells the person what became of it, where there is a desktop to tell it on.
//
// What the system does not tell is unknown, and unknown is no reason to wait: a device
// without a battery or without NetworkManager must be backed up too.
//
// Linux tells: sysfs about power, NetworkManager or the desktop's portal about the
// network, and the notification service takes messages. Other systems tell nothing here; on macOS
// messages go through osascript.
//
// Nothing that is read here is trusted further than that: who can answer for
// NetworkManager on the system bus, or write sysfs, is root; who can answer for the
// portal is this user. The worst that an answer does is to put a backup off for the time
// that the caller waits at most.
package desktop

import (
	"context"
	"io/fs"
	"time"
)

// Answer is what the system says to a question of yes and no.
type Answer int

// The answers. The zero value is Unknown.
const (
	Unknown Answer = iota
	No
	Yes
)

// String gives the word: "yes", "no", "unknown".
func (a Answer) String() string { return [...]string{"unknown", "no", "yes"}[a] }

// patience bounds each conversation with a bus: nobody there answers questions
// about the network for longer than a blink, and a bus that hangs must not hang a backup. A variable for tests.
var patience = 5 * time.Second

// Desktop is where to ask. The zero value knows nothing and tells nobody.
type Desktop struct {
	// Supplies is the folder of power supplies, /sys/class/power_supply of Linux;
	// nil: unknown.
	Supplies fs.FS
	// SystemBus and SessionBus are addresses as D-Bus writes them
	// ("unix:path=/run/dbus/system_bus_socket"); "": there is none. No bus is ever started.
	SystemBus, SessionBus string
}

// Message is what is shown to the person. It may be seen on a locked screen and in logs of the
// desktop: no names of files, no secrets. Both texts are plain; what the desktop would take for
// markup is escaped.
type Message struct {
	Title, Text string
	// Urgent is for what must not wait: no backup for days.
	Urgent bool
}

// OnBattery says whether the device runs on its battery.
func (d Desktop) OnBattery() Answer {
	if d.Supplies == nil {
		return Unknown
	}
	return onBattery(d.Supplies)
}

// Metered says whether the network is paid for by the byte, as far as its owner or
// the system's guess goes.
func (d Desktop) Metered(ctx context.Context) Answer {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return d.metered(ctx)
}

// Tell shows a message. An error means that nobody saw it.
func (d Desktop) Tell(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return d.tell(ctx, m)
}
