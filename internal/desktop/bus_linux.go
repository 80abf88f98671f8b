package desktop

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/godbus/dbus/v5"
)

// The places that are asked, as their projects publish them.
const (
	networkManager     = "org.freedesktop.NetworkManager"
	networkManagerPath = "/org/freedesktop/NetworkManager"
	portal             = "org.freedesktop.portal.Desktop"
	portalPath         = "/org/freedesktop/portal/desktop"
	notifications      = "org.freedesktop.Notifications"
	notificationsPath  = "/org/freedesktop/Notifications"
)

// NMMetered of NetworkManager's D-Bus interface: 0 is unknown.
const (
	meteredYes = iota + 1
	meteredNo
	meteredGuessYes
	meteredGuessNo
)

// metered asks NetworkManager, and where there is none the portal of the session, which
// knows what the desktop's own monitor knows. Neither is started for it.
func (d Desktop) metered(ctx context.Context) Answer {
	answer := Unknown
	err := talk(ctx, d.SystemBus, func(c *dbus.Conn) (err error) {
		answer, err = askNetworkManager(ctx, c)
		return err
	})
	if err == nil && answer != Unknown {
		return answer
	}
	err = talk(ctx, d.SessionBus, func(c *dbus.Conn) (err error) {
		answer, err = askPortal(ctx, c)
		return err
	})
	if err != nil {
		return Unknown
	}
	return answer
}

func askNetworkManager(ctx context.Context, c *dbus.Conn) (Answer, error) {
	var v dbus.Variant
	err := c.Object(networkManager, networkManagerPath).
		CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", dbus.FlagNoAutoStart, networkManager, "Metered").Store(&v)
	if err != nil {
		return Unknown, err
	}
	switch n, _ := v.Value().(uint32); n {
	case meteredYes, meteredGuessYes:
		return Yes, nil
	case meteredNo, meteredGuessNo:
		return No, nil
	}
	return Unknown, nil
}

func askPortal(ctx context.Context, c *dbus.Conn) (Answer, error) {
	var metered bool
	err := c.Object(portal, portalPath).
		CallWithContext(ctx, "org.freedesktop.portal.NetworkMonitor.GetMetered", dbus.FlagNoAutoStart).Store(&metered)
	if err != nil {
		return Unknown, err
	}
	if metered {
		return Yes, nil
	}
	return No, nil
}

// tell hands a message to the notification service (Desktop Notifications Specification 1.2). The bus may
// start the service: that is how desktops bring it up.
func (d Desktop) tell(ctx context.Context, m Message) error {
	urgency := byte(1)
	if m.Urgent {
		urgency = 2
	}
	hints := map[string]dbus.Variant{"urgency": dbus.MakeVariant(urgency), "category": dbus.MakeVariant("transfer.error")}
	err := talk(ctx, d.SessionBus, func(c *dbus.Conn) error {
		const byDefault = int32(-1) // how long it is shown
		return c.Object(notifications, notificationsPath).
			CallWithContext(ctx, notifications+".Notify", 0, "Keepsake", uint32(0), "", m.Title, escape(m.Text), []string{}, hints, byDefault).Err
	})
	if err != nil {
		return fmt.Errorf("telling the desktop: %w", err)
	}
	return nil
}

// escape: services may take the text, never the title, for markup.
func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}

var errNoBus = errors.New("desktop: there is no message bus")

// talk connects to a bus for f and leaves again. A daemon that stayed connected would have to
// notice when the session ends and another one begins.
func talk(ctx context.Context, address string, f func(*dbus.Conn) error) error {
	if address == "" {
		return errNoBus
	}
	// godbus reads the greeting without looking at ctx; closing the connection ends that.
	c, err := dbus.Connect(address, dbus.WithContext(ctx))
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c)
}
