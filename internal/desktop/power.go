package desktop

import (
	"io"
	"io/fs"
	"path"
	"strings"
)

// maxAttribute bounds what is read of a file of sysfs, in bytes: these are words.
const maxAttribute = 64

// onBattery reads sysfs (Linux Documentation/ABI/testing/sysfs-class-power) as systemd's
// ConditionACPower does: a supply from outside that is there means mains power. A battery that is being
// drained means its opposite only when no such supply says that it is there: docks and
// chargers that are too weak do both.
func onBattery(supplies fs.FS) Answer {
	names, err := fs.ReadDir(supplies, ".")
	if err != nil {
		return Unknown
	}
	answer := Unknown
	for _, entry := range names {
		word := func(attribute string) string { return readWord(supplies, path.Join(entry.Name(), attribute)) }
		// The battery of a mouse says nothing about the device.
		if word("scope") == "Device" {
			continue
		}
		switch word("type") {
		case "Mains", "USB", "Wireless":
			switch {
			case word("online") == "1":
				return No
			case word("online") == "0" && word("type") == "Mains":
				answer = Yes
			}
		case "Battery", "UPS":
			if word("present") == "0" {
				continue
			}
			switch word("status") {
			case "Discharging":
				answer = Yes
			case "Charging", "Full":
				if answer == Unknown {
					answer = No
				}
			}
		}
	}
	return answer
}

func readWord(tree fs.FS, name string) string {
	f, err := tree.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxAttribute))
	if err != nil {
		return "" // a driver that is asked at a bad moment gives ENODEV
	}
	return strings.TrimSpace(string(text))
}
