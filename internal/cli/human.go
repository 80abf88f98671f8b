package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Size gives n bytes in decimal units with three significant digits at most:
// "0 B", "999 B", "1.2 kB", "34 MB", "2.1 GB". A negative n is "-" and the size
// of its opposite.
func Size(n int64) string {
	if n < 0 {
		// The opposite of the smallest integer does not fit; one byte less is
		// the same text.
		return "-" + Size(-(n + 1))
	}
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	const units = "kMGTPE"
	v, unit := float64(n)/1000, 0
	for v >= 999.5 && unit < len(units)-1 {
		v /= 1000
		unit++
	}
	if v < 9.95 {
		return fmt.Sprintf("%.1f %cB", v, units[unit])
	}
	return fmt.Sprintf("%.0f %cB", v, units[unit])
}

// Count groups a number by thousands: "2,700".
func Count[N int | int64 | uint64](n N) string {
	digits := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// Plural counts things: "1 file", "2,700 files".
func Plural[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// Duration says how long something took or will take: "0.4 s", "12 s",
// "3 min 5 s", "2 h 10 min", "4 days".
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < 9950*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	d = d.Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return two(int(d/time.Minute), "min", int(d%time.Minute/time.Second), "s")
	case d < 48*time.Hour:
		return two(int(d/time.Hour), "h", int(d%time.Hour/time.Minute), "min")
	}
	return Plural(int(d/(24*time.Hour)), "day", "days")
}

func two(a int, unitA string, b int, unitB string) string {
	if b == 0 {
		return fmt.Sprintf("%d %s", a, unitA)
	}
	return fmt.Sprintf("%d %s %d %s", a, unitA, b, unitB)
}

// Age says how long before now t was, in one unit: "just now", "5 minutes ago",
// "3 days ago". A time after now is "in the future": the clock of this or
// of another device is wrong, and a person should see that.
func Age(now, t time.Time) string {
	d := now.Sub(t)
	switch {
	case d < -time.Minute:
		return "in the future"
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return Plural(int(d/time.Minute), "minute", "minutes") + " ago"
	case d < 48*time.Hour:
		return Plural(int(d/time.Hour), "hour", "hours") + " ago"
	case d < 60*24*time.Hour:
		return Plural(int(d/(24*time.Hour)), "day", "days") + " ago"
	}
	return Plural(int(d/(30*24*time.Hour)), "month", "months") + " ago"
}

// Time gives t in the zone of this device, to the minute: "2026-11-20 18:04".
func Time(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }

// Name gives the name of a file as it may be printed: unchanged when
// every rune of it is printable, else quoted with escapes. Without it, a name with
// an escape sequence in it would be obeyed by the terminal.
func Name(s string) string {
	for _, r := range s {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}
