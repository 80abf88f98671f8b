package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// count is a flag value of 0 or more.
type count int

func (c *count) String() string { return strconv.Itoa(int(*c)) }
func (c *count) Type() string   { return "N" }
func (c *count) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 1_000_000 {
		return errors.New("not a number from 0 to 1000000")
	}
	*c = count(n)
	return nil
}

// part is a flag value from 0 to 1, written 5% or 0.05.
type part float64

func (p *part) String() string { return strconv.FormatFloat(float64(*p)*100, 'f', -1, 64) + "%" }
func (p *part) Type() string   { return "PART" }
func (p *part) Set(text string) error {
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if percent {
		v /= 100
	}
	if err != nil || math.IsNaN(v) || v < 0 || v > 1 {
		return errors.New("not a part from 0% to 100%")
	}
	*p = part(v)
	return nil
}

// span is a flag value that is a length of time in whole hours, days, weeks,
// months of 30 days or years of 365.
type span time.Duration

func (s *span) String() string { return time.Duration(*s).String() }
func (s *span) Type() string   { return "SPAN" }
func (s *span) Set(text string) error {
	d, err := parseSpan(text)
	*s = span(d)
	return err
}

var spanUnits = map[string]time.Duration{
	"h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour, "m": 30 * 24 * time.Hour, "y": 365 * 24 * time.Hour,
}

func parseSpan(text string) (time.Duration, error) {
	bad := errors.New("not a span such as 36h, 30d, 8w, 12m or 1y")
	if text == "" {
		return 0, bad
	}
	unit, ok := spanUnits[text[len(text)-1:]]
	n, err := strconv.Atoi(text[:len(text)-1])
	// A hundred years fit in a Duration.
	if !ok || err != nil || n < 1 || time.Duration(n) > 100*365*24*time.Hour/unit {
		return 0, bad
	}
	return time.Duration(n) * unit, nil
}

// parseTime reads a point in time as people name it. A day alone means its end:
// "the state of that day".
func parseTime(text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	switch strings.ToLower(text) {
	case "now":
		return now, nil
	case "today":
		return endOfDay(now), nil
	case "yesterday":
		return endOfDay(now.AddDate(0, 0, -1)), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if t, err := time.ParseInLocation("2006-01-02", text, now.Location()); err == nil {
		return endOfDay(t), nil
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return endOf(t, layout), nil
		}
	}
	if ago, ok := strings.CutSuffix(text, " ago"); ok {
		if d, err := parseSpan(ago); err == nil {
			return now.Add(-d), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time", text)
}

func endOfDay(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, -1, t.Location())
}

// endOf is the end of the minute or second that was named: the list of
// snapshots shows minutes, and naming one as it is listed must find it.
func endOf(t time.Time, layout string) time.Time {
	if strings.HasSuffix(layout, ":05") {
		return t.Add(time.Second - 1)
	}
	return t.Add(time.Minute - 1)
}
