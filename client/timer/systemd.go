package timer

import (
	"fmt"
	"strings"

	"keepsake.example/client/schedule"
)

// serviceText is the service. What it leaves out is what needs a user namespace (ProtectSystem,
// PrivateTmp and their like, systemd.exec(5)): where the system forbids those, the service would
// not start, and a backup that does not run protects nobody.
//
// Type=oneshot has no time limit for its start, and Restart stays off: the program tries again by
// itself, and knows which failures pass.
const serviceText = `# ` + marker + `: keepsake schedule systemd --install
# Changes are lost when it is written again.

[Unit]
Description=Keepsake backup (%s)

[Service]
Type=oneshot
ExecStart=%s
# 130: it was told to stop, and the next run goes on. 9: done, but for files that could not be read.
SuccessExitStatus=9 130
TimeoutStopSec=2min
Nice=10
IOSchedulingClass=idle

# What a backup does not need is refused to it.
UMask=0077
LimitCORE=0
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
`

// timerText is the timer. Persistent catches up with a run that was missed while the device was off
// or nobody was logged in; one that was missed asleep comes at the waking.
const timerText = `# ` + marker + `: keepsake schedule systemd --install
# Changes are lost when it is written again.

[Unit]
Description=Keepsake backup at %s

[Timer]
%sPersistent=true
# Not all devices of the world at the same second; and several programs are woken together.
RandomizedDelaySec=5min
AccuracySec=1min

[Install]
WantedBy=timers.target
`

// Systemd gives the service and the timer, for the folder systemd/user of the user's configuration.
func (j Job) Systemd() ([]File, error) {
	if err := j.check(); err != nil {
		return nil, err
	}
	// systemd takes no such program, quoted or not (string_is_safe in its parser).
	if strings.ContainsAny(j.Program, `"'\`) || strings.ContainsFunc(j.Program, control) {
		return nil, fmt.Errorf("timer: systemd runs no program whose path has quotes, backslashes or control characters: %.200q", j.Program)
	}
	words := []string{systemdQuote(j.Program, false)}
	for _, word := range j.arguments()[1:] {
		words = append(words, systemdQuote(word, true))
	}
	return []File{
		{j.Name() + ".service", fmt.Sprintf(serviceText, systemdLine(j.Profile), strings.Join(words, " "))},
		{j.Name() + ".timer", fmt.Sprintf(timerText, j.Times, calendar(j.Times))},
	}, nil
}

func calendar(times schedule.Times) string {
	var b strings.Builder
	for _, t := range times {
		fmt.Fprintf(&b, "OnCalendar=*-*-* %s:00\n", t)
	}
	return b.String()
}

func control(r rune) bool { return r < 0x20 || r == 0x7f }

// systemdQuote writes a word of a command line (systemd.service(5), "Command lines"): where that is
// needed in double quotes, with C escapes, and without specifiers or, in an argument, variables.
func systemdQuote(word string, argument bool) string {
	if !strings.ContainsFunc(word, special) {
		return word
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range word {
		switch {
		case r == '%':
			b.WriteString("%%")
		case r == '$' && argument:
			b.WriteString("$$")
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case control(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// special is what may mean something in a command line, and all that is not surely plain.
func special(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-", r))
}

// systemdLine writes a text for people, in which only specifiers and the end of the line mean anything.
func systemdLine(text string) string {
	return strings.ReplaceAll(strings.Map(func(r rune) rune {
		if control(r) || r == '\\' {
			return '?'
		}
		return r
	}, text), "%", "%%")
}
