package client

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"keepsake.example/backup"
	"keepsake.example/internal/durable"
)

const stateVersion = 1

// maxNoted bounds the names of damaged objects in the state: 44 bytes each, of the 256 KiB that state.json may have.
const maxNoted = 1000

// errState means that state.json is lost or damaged.
var errState = errors.New("client: state.json")

// State is what this device remembers between runs. Without Mark it would accept
// an older state of the cloud.
type State struct {
	Mark        backup.Mark  `json:"mark"`
	LastBackup  *LastBackup  `json:"last_backup,omitempty"`
	LastVerify  *LastVerify  `json:"last_verify,omitempty"`
	LastFailure *LastFailure `json:"last_failure,omitempty"`
	// KeyChecked is when the person last typed the right digits.
	KeyChecked time.Time `json:"key_checked,omitzero"`
}

// LastBackup is the newest backup made from this device.
type LastBackup struct {
	Time     time.Time `json:"time"`
	Snapshot string    `json:"snapshot"`
	Files    int       `json:"files"`
	Bytes    int64     `json:"bytes"`
	Problems int       `json:"problems"`
}

// LastVerify is the newest check of the whole backup from this device.
type LastVerify struct {
	Time     time.Time `json:"time"`
	ReadData float64   `json:"read_data"` // the part of the data that was read, 0 to 1
	Damage   int       `json:"damage"`    // damaged objects found
	// Objects names them, the first maxNoted: Backup stores again what lay in them.
	Objects []string `json:"objects,omitempty"`
}

// stateFile wraps State with a checksum. It is there for accidents, not attackers:
// a flipped bit in the sequence number must not pass for a rolled back cloud.
type stateFile struct {
	Version int             `json:"version"`
	SHA256  string          `json:"sha256"` // of the bytes of state
	State   json.RawMessage `json:"state"`
}

// EncodeState writes state.json. There is one encoding of every state.
func EncodeState(s *State) ([]byte, error) {
	inner, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(inner)
	data, err := json.Marshal(stateFile{stateVersion, hex.EncodeToString(sum[:]), inner})
	return append(data, '\n'), err
}

// DecodeState reads state.json. Anything but what EncodeState wrote is refused.
func DecodeState(data []byte) (*State, error) {
	var f stateFile
	if err := decodeStrictly(data, &f); err != nil {
		return nil, fmt.Errorf("%w: %w", errState, err)
	}
	if f.Version != stateVersion {
		return nil, fmt.Errorf("%w: version %d", errState, f.Version)
	}
	if sum := sha256.Sum256(f.State); hex.EncodeToString(sum[:]) != f.SHA256 {
		return nil, fmt.Errorf("%w: checksum does not match", errState)
	}
	var s State
	if err := decodeStrictly(f.State, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", errState, err)
	}
	if again, err := EncodeState(&s); err != nil || !bytes.Equal(again, data) {
		return nil, fmt.Errorf("%w: not as this program writes it", errState)
	}
	return &s, nil
}

// readState gives the state of an enabled profile. A lost or damaged one is told
// through Warn and counts as empty: refusing to back up because of it would
// cost more than it protects.
func (c *Client) readState() (*State, error) {
	data, err := readLimited(c.path("state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		c.warn("state.json is missing from the profile: this device cannot tell whether the cloud shows an older state; look at the time of the newest snapshot")
		return &State{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the state of this device: %w", err)
	}
	s, err := DecodeState(data)
	if err != nil {
		c.warn("state.json in the profile is damaged: this device cannot tell whether the cloud shows an older state; look at the time of the newest snapshot")
		return &State{}, nil
	}
	return s, nil
}

// updateState changes state.json. Commands that only read run beside a
// backup, and both end here: the lock keeps either from undoing the other's
// change. Where nothing changes nothing is written, so that a full disk stops no command
// that has nothing to say. change may be called twice.
func (c *Client) updateState(change func(*State)) error {
	if old, data, err := c.changedState(change); err == nil && bytes.Equal(old, data) {
		return nil
	}
	unlock, err := waitLock(c.path("state.lock"))
	if err != nil {
		return fmt.Errorf("keeping the state of this device: %w", err)
	}
	defer unlock()
	_, data, err := c.changedState(change)
	if err == nil {
		err = durable.WriteFile(c.path("state.json"), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keeping the state of this device: %w", err)
	}
	return nil
}

// changedState gives the bytes of state.json, nil if there is none, and those after a change.
func (c *Client) changedState(change func(*State)) (old, changed []byte, err error) {
	s := &State{}
	if old, err = readLimited(c.path("state.json")); err == nil {
		if known, err := DecodeState(old); err == nil {
			s = known
		}
	}
	change(s)
	changed, err = EncodeState(s)
	return old, changed, err
}

// see moves the mark on, never back: an operation that began earlier may
// end later.
func (s *State) see(m backup.Mark) {
	if m.Seq >= s.Mark.Seq {
		s.Mark = m
	}
}
