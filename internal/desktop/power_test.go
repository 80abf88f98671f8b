package desktop_test

import (
	"testing"
	"testing/fstest"

	"keepsake.example/internal/desktop"
)

// supplies makes a tree as sysfs has it, "AC/type": "Mains" and so on.
func supplies(files map[string]string) fstest.MapFS {
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text + "\n")}
	}
	return tree
}

func TestOnBattery(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		want  desktop.Answer
	}{
		{"a server", map[string]string{}, desktop.Unknown},
		{"a laptop, plugged in", map[string]string{"AC/type": "Mains", "AC/online": "1", "BAT0/type": "Battery", "BAT0/status": "Charging"}, desktop.No},
		{"plugged in, and still drained", map[string]string{"AC/type": "Mains", "AC/online": "1", "BAT0/type": "Battery", "BAT0/status": "Discharging"}, desktop.No},
		{"unplugged", map[string]string{"AC/type": "Mains", "AC/online": "0", "BAT0/type": "Battery", "BAT0/status": "Discharging"}, desktop.Yes},
		{"unplugged, said by the charger alone", map[string]string{"AC/type": "Mains", "AC/online": "0"}, desktop.Yes},
		{"two chargers, one in use", map[string]string{"AC/type": "Mains", "AC/online": "0", "usb/type": "USB", "usb/online": "1"}, desktop.No},
		{"an empty port beside mains", map[string]string{"ADP1/type": "Mains", "ADP1/online": "1", "usb/type": "USB", "usb/online": "0"}, desktop.No},
		{"empty ports only", map[string]string{"usb0/type": "USB", "usb0/online": "0", "usb1/type": "USB", "usb1/online": "0"}, desktop.Unknown},
		{"a phone's battery, drained", map[string]string{"battery/type": "Battery", "battery/status": "Discharging", "usb/type": "USB", "usb/online": "0"}, desktop.Yes},
		{"a battery, full, and no charger known", map[string]string{"BAT0/type": "Battery", "BAT0/status": "Full"}, desktop.No},
		{"of two batteries one drained", map[string]string{"BAT0/type": "Battery", "BAT0/status": "Full", "BAT1/type": "Battery", "BAT1/status": "Discharging"}, desktop.Yes},
		{"and the other way round", map[string]string{"BAT0/type": "Battery", "BAT0/status": "Discharging", "BAT1/type": "Battery", "BAT1/status": "Full"}, desktop.Yes},
		{"unplugged a moment ago, still full", map[string]string{"AC/type": "Mains", "AC/online": "0", "BAT0/type": "Battery", "BAT0/status": "Full"}, desktop.Yes},
		{"not charging, held at 80 %", map[string]string{"BAT0/type": "Battery", "BAT0/status": "Not charging"}, desktop.Unknown},
		{"the mouse's battery", map[string]string{"hid/type": "Battery", "hid/status": "Discharging", "hid/scope": "Device"}, desktop.Unknown},
		{"a UPS that is drained", map[string]string{"ups/type": "UPS", "ups/status": "Discharging"}, desktop.Yes},
		{"an empty slot", map[string]string{"BAT1/type": "Battery", "BAT1/present": "0", "BAT1/status": "Discharging"}, desktop.Unknown},
		{"what nobody has heard of", map[string]string{"x/type": "Fusion", "x/online": "1"}, desktop.Unknown},
	} {
		if got := (desktop.Desktop{Supplies: supplies(test.files)}).OnBattery(); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
	if got := (desktop.Desktop{}).OnBattery(); got != desktop.Unknown {
		t.Errorf("without sysfs: %v", got)
	}
}
