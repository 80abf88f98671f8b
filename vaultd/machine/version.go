package machine

import (
	"bytes"
	"fmt"

	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// VersionError is a fleet that asks for a newer program than a member has, or a
// change that would.
type VersionError struct {
	Least  uint32 // that is asked for
	Member uint64 // who has an older one; 0: this machine
	Has    uint32
}

// Error says what to upgrade.
func (e *VersionError) Error() string {
	if e.Member != 0 {
		return fmt.Sprintf("vaultd: version %d is asked for, and member %d has version %d: upgrade it first", e.Least, e.Member, e.Has)
	}
	return fmt.Sprintf("vaultd: the fleet asks for version %d at least, this program is version %d: upgrade this replica", e.Least, e.Has)
}

// Is makes it a replica.ErrNewer, where this machine is the older one.
func (e *VersionError) Is(target error) bool { return e.Member == 0 && target == replica.ErrNewer }

// NewAs is [New] for a program of another version, that reads no form which a later one
// introduced: for tests of fleets of two versions.
func NewAs(version, group uint32, changed func()) *Machine {
	m := New(group, changed)
	m.version = version
	return m
}

// enough refuses to go on under a roster that asks for a newer program: from there on
// the group may be told what this one does not read.
func (m *Machine) enough() error {
	if m.roster.MinVersion > m.version {
		return &VersionError{Least: m.roster.MinVersion, Has: m.version}
	}
	return nil
}

// Least is the version under which no member may be: as the operators signed, or
// because it could not read the roster, and has halted at it.
func (m *Machine) Least() uint32 {
	if m.roster == nil {
		return 0
	}
	return max(m.roster.MinVersion, uint32(m.roster.Form()))
}

// typeAt is where a command of kind Request names the request's type: after version,
// kind, time, account, who and random.
const typeAt = 1 + 1 + 8 + 32 + 8 + 32

// Needs returns the version that introduced the form of an entry, or of a signed
// change, and replica.Unknown for one that is not known here.
func (m *Machine) Needs(entry []byte, change bool) uint32 {
	needs := uint32(replica.Unknown)
	switch {
	case change:
		if v := roster.Version(entry); v != 0 {
			needs = v
		}
	case bytes.HasPrefix(entry, []byte(welcomeLabel)):
		needs = 1
	case isRekey(entry):
		needs = 2
	default:
		needs = min(needsCommand(entry), needsNext(entry))
	}
	if needs > m.version {
		return replica.Unknown
	}
	return needs
}

// needsCommand is Needs of a command of the vault, by its first bytes.
func needsCommand(entry []byte) uint32 {
	if len(entry) < 2 || entry[0] != 1 || vault.Kind(entry[1]) > vault.Restrict {
		return replica.Unknown
	}
	if vault.Kind(entry[1]) != vault.Request || len(entry) <= typeAt {
		return 1
	}
	switch t := vaultapi.Type(entry[typeAt]); {
	case t <= vaultapi.Cancel:
		return 1
	case t == vaultapi.HardenedAttempt:
		return 2
	}
	return replica.Unknown
}

// unread is why an entry cannot be applied that is no command: it is of a newer
// program, and this one must not guess, or it is broken.
func (m *Machine) unread(entry []byte, err error) error {
	if m.Needs(entry, false) == replica.Unknown {
		return fmt.Errorf("%w (an entry that begins with %x)", replica.ErrNewer, entry[:min(len(entry), 2)])
	}
	return fmt.Errorf("decoding a committed command: %w", err)
}
