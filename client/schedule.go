package client

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"keepsake.example/client/schedule"
)

const scheduleVersion = 1

// maxReason bounds the reason of a failure that is kept, in bytes.
const maxReason = 500

// ErrNoSchedule means that no times were chosen for the backups of the profile.
var ErrNoSchedule = errors.New("client: no schedule is set")

// Schedule is what schedule.json holds: when the person wants backups, and on what terms.
type Schedule struct {
	Version int `json:"version"`
	// Chosen is when: slots before it are not missed.
	Chosen time.Time      `json:"chosen"`
	Times  schedule.Times `json:"times"` // "03:30"
	// OnBattery and OnMetered let a run begin without mains power, and over a network
	// that is paid for by the byte.
	OnBattery bool `json:"on_battery,omitempty"`
	OnMetered bool `json:"on_metered,omitempty"`
	// LimitUpload is that of Settings, for runs by the schedule; "" is no limit.
	LimitUpload string `json:"limit_upload,omitempty"`
}

// LastFailure is the newest run of a backup from this device that failed.
type LastFailure struct {
	Time   time.Time `json:"time"`
	Code   string    `json:"code"`   // the name of the exit code: "unreachable"
	Reason string    `json:"reason"` // for the person; may name files
	// Told is when the person was last told of failures outside of status.
	Told time.Time `json:"told,omitzero"`
}

func (s *Schedule) check() error {
	if s.Version != scheduleVersion {
		return fmt.Errorf("version %d", s.Version)
	}
	if len(s.LimitUpload) > maxReason || oneLine(s.LimitUpload) != s.LimitUpload {
		return errors.New("limit_upload is not a line of text")
	}
	return s.Times.Check()
}

// DecodeSchedule reads schedule.json strictly, as DecodeConfig does config.json.
func DecodeSchedule(data []byte) (*Schedule, error) {
	var s Schedule
	if err := decodeProfile("schedule.json", data, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// Schedule reads the schedule. It is ErrNotEnabled without a backup, and ErrNoSchedule
// where none was chosen.
func (c *Client) Schedule() (*Schedule, error) {
	if _, err := c.Config(); err != nil {
		return nil, err
	}
	data, err := c.readProfile("schedule.json", ErrNoSchedule)
	if err != nil {
		return nil, err
	}
	return DecodeSchedule(data)
}

// SetSchedule chooses a schedule from now on. It fills in Version and Chosen. A watch that is
// running takes it up within a minute.
func (c *Client) SetSchedule(s Schedule) error {
	if _, err := c.Config(); err != nil {
		return err
	}
	s.Version, s.Chosen = scheduleVersion, c.now().UTC().Truncate(time.Second)
	if err := s.check(); err != nil {
		return fmt.Errorf("client: this is no schedule: %w", err)
	}
	return c.writeProfile("schedule.json", &s)
}

// RemoveSchedule turns the schedule off, and says whether there was one.
func (c *Client) RemoveSchedule() (had bool, err error) {
	err = os.Remove(c.path("schedule.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("turning the schedule off: %w", err)
	}
	return true, nil
}

// LastRuns gives the last good run from this device and the last that failed, nil for one that
// never was. What is wrong with state.json is told by commands that open the backup.
func (c *Client) LastRuns() (*LastBackup, *LastFailure, error) {
	quiet := *c
	quiet.s.Warn = nil
	s, err := quiet.readState()
	if err != nil {
		return nil, nil, err
	}
	return s.LastBackup, s.LastFailure, nil
}

// NoteFailure keeps why a run failed. A zero Told leaves what is known of it.
func (c *Client) NoteFailure(f LastFailure) error {
	if _, err := c.Config(); err != nil {
		return err
	}
	f.Time, f.Reason = f.Time.UTC(), oneLine(f.Reason)
	return c.updateState(func(s *State) {
		if f.Told.IsZero() && s.LastFailure != nil {
			f.Told = s.LastFailure.Told
		}
		s.LastFailure = &f
	})
}

// oneLine bounds a text, and makes one line of it.
func oneLine(text string) string {
	text = strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "?")
	for len(text) > maxReason {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}

// HoldWatch takes the profile for a watch, or fails with a BusyError at once when another one has
// it. It keeps no other command out.
func (c *Client) HoldWatch(what string) (release func(), err error) {
	return c.lockFile("watch.lock", what)
}

// Watching says who watches over the profile, nil when nobody does.
func (c *Client) Watching() (*BusyError, error) {
	// The text of one that crashed stays. Without a text nobody holds the lock, and it is not
	// even tried: a watch that begins at this moment would be told that it is held.
	text, err := readLimited(c.path("watch.lock"))
	if len(text) == 0 && (err == nil || errors.Is(err, fs.ErrNotExist)) {
		return nil, nil
	}
	release, err := c.lockFile("watch.lock", "status")
	if busy, ok := errors.AsType[*BusyError](err); ok {
		return busy, nil
	}
	if err != nil {
		return nil, err
	}
	release()
	return nil, nil
}
