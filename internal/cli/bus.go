package cli

import (
	"fmt"
	"os"
)

const busVariable = "DBUS_SESSION_BUS_ADDRESS"

// LaunchNoBus keeps the D-Bus library, which asks the keyring, from starting a session bus where there is none: it runs
// dbus-launch, and each run of the program would leave a daemon behind, and on it a keyring that nobody unlocks. To be
// called first thing by a program's main.
func LaunchNoBus() {
	if os.Getenv(busVariable) != "" {
		return
	}
	for _, name := range []string{"bus", "dbus-session"} { // where the library looks
		if _, err := os.Stat(fmt.Sprintf("/run/user/%d/%s", os.Getuid(), name)); err == nil {
			return
		}
	}
	os.Setenv(busVariable, "disabled:") // libdbus's word for no bus
}
