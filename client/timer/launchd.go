package timer

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// launchdText is the property list (launchd.plist(5)). A run that was missed asleep comes at the waking,
// by StartCalendarInterval; one that was missed while the device was off comes at the
// next login, by RunAtLoad: the program looks whether a backup is due, and ends if none is.
const launchdText = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- ` + marker + `: keepsake schedule launchd -->
<plist version="1.0">
<dict>
	<key>Label</key>
	<string>%s</string>
	<key>ProgramArguments</key>
	<array>
%s	</array>
	<key>StartCalendarInterval</key>
	<array>
%s	</array>
	<key>RunAtLoad</key>
	<true/>
	<key>ProcessType</key>
	<string>Background</string>
	<key>LowPriorityIO</key>
	<true/>
	<key>Nice</key>
	<integer>10</integer>
	<key>Umask</key>
	<integer>63</integer>
	<key>HardResourceLimits</key>
	<dict>
		<key>Core</key>
		<integer>0</integer>
	</dict>
</dict>
</plist>
`

// label is the name that launchd knows the job by.
func (j Job) label() string { return "example." + j.Name() }

// Launchd gives the property list of a user agent, for the folder Library/LaunchAgents of the home folder.
func (j Job) Launchd() (File, error) {
	if err := j.check(); err != nil {
		return File{}, err
	}
	var arguments, times strings.Builder
	for _, word := range j.arguments() {
		text, err := xmlText(word)
		if err != nil {
			return File{}, err
		}
		fmt.Fprintf(&arguments, "\t\t<string>%s</string>\n", text)
	}
	for _, t := range j.Times {
		fmt.Fprintf(&times, "\t\t<dict>\n\t\t\t<key>Hour</key>\n\t\t\t<integer>%d</integer>\n\t\t\t<key>Minute</key>\n\t\t\t<integer>%d</integer>\n\t\t</dict>\n", t/60, t%60)
	}
	return File{j.label() + ".plist", fmt.Sprintf(launchdText, j.label(), arguments.String(), times.String())}, nil
}

// xmlText writes a text for XML 1.0, which has no way to write most control characters.
func xmlText(text string) (string, error) {
	if strings.ContainsFunc(text, func(r rune) bool {
		return control(r) && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff
	}) {
		return "", fmt.Errorf("timer: a property list has no way to write %.200q", text)
	}
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(text)); err != nil {
		return "", err
	}
	return b.String(), nil
}
