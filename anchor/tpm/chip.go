package tpm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"keepsake.example/anchor"
)

// A chip is a connection to a TPM, with its one session. Not safe for concurrent use.
type chip struct {
	transport.TPM // commands pass here
	conn          *link
	session       *session
	auth          []byte           // of the indices and keys: in the folder
	parent        tpm2.NamedHandle // the storage key
	parentPublic  *tpm2.TPMTPublic
}

// connectChip connects, and frees what a process that died left loaded: behind a socket,
// or /dev/tpm0, which one process at a time has. The kernel's resource manager frees it
// itself; but there the sessions of other programs are seen, and could be ended.
func connectChip(ctx context.Context, o Options) (*chip, error) {
	conn, err := dial(ctx, o.Path, cmp.Or(o.limit, answerLimit))
	if err != nil {
		return nil, fmt.Errorf("connecting to the TPM at %s: %w", o.Path, err)
	}
	var below transport.TPM = conn
	if o.wrap != nil {
		below = o.wrap(below)
	}
	c := &chip{TPM: patient{below}, conn: conn}
	if strings.HasPrefix(filepath.Base(o.Path), "tpmrm") {
		return c, nil
	}
	if err := c.flushAll(); err != nil {
		return nil, errors.Join(fmt.Errorf("freeing the TPM at %s: %w", o.Path, err), conn.conn.Close())
	}
	return c, nil
}

// The first handles of what takes room in a chip: TPM 2.0 part 2, 7.2.
var temporary = []uint32{0x80000000, 0x02000000, 0x03000000} // objects, sessions, saved sessions and policies

func (c *chip) flushAll() error {
	for _, first := range temporary {
		answer, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: 64}.Execute(c)
		if err != nil {
			return err
		}
		list, err := answer.CapabilityData.Data.Handles()
		if err != nil {
			return err
		}
		for _, h := range list.Handle {
			// Only so that there is room: one that cannot be freed is no error.
			_ = c.flush(h)
		}
	}
	return nil
}

func (c *chip) flush(h tpm2.TPMHandle) error {
	_, err := tpm2.FlushContext{FlushHandle: h}.Execute(c)
	return err
}

// property is a number that the chip says of itself.
func (c *chip) property(p tpm2.TPMPT) (uint32, error) {
	answer, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(p), PropertyCount: 1}.Execute(c)
	if err != nil {
		return 0, err
	}
	list, err := answer.CapabilityData.Data.TPMProperties()
	if err != nil {
		return 0, err
	}
	if len(list.TPMProperty) != 1 || list.TPMProperty[0].Property != p {
		return 0, fmt.Errorf("the TPM does not say property %#x", uint32(p))
	}
	return list.TPMProperty[0].Value, nil
}

// trust takes the storage key as the chip's, with the password auth, and starts the session with it.
func (c *chip) trust(public *tpm2.TPMTPublic, auth []byte) error {
	name, err := tpm2.ObjectName(public)
	if err != nil {
		return fmt.Errorf("naming the storage key: %w", err)
	}
	c.auth, c.parentPublic = auth, public
	c.parent = tpm2.NamedHandle{Handle: storageKey, Name: *name}
	return c.restart()
}

func (c *chip) restart() (err error) {
	c.session, err = startSession(c, storageKey, c.parentPublic)
	return err
}

func (c *chip) onParent(way direction) tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: c.parent.Handle, Name: c.parent.Name, Auth: c.session.with(c.auth, way)}
}

// again runs f, and once more with a new session if the chip had lost the old one: the
// kernel's resource manager gives up a session that others have kept from being used
// for long, and a machine that slept has none. f did nothing then.
func (c *chip) again(f func() error) error {
	err := f()
	if !lostSession(err) {
		return err
	}
	if err := c.restart(); err != nil {
		return err
	}
	return f()
}

func lostSession(err error) bool {
	var code tpm2.TPMRC
	if !errors.As(err, &code) {
		return false
	}
	switch code {
	case tpm2.TPMRCContextGap, tpm2.TPMRCReferenceS0:
		return true
	}
	var detail tpm2.TPMFmt1Error
	if !errors.As(err, &detail) {
		return false
	}
	ofSession, _ := detail.Session()
	return ofSession && (errors.Is(code, tpm2.TPMRCValue) || errors.Is(code, tpm2.TPMRCHandle))
}

// policy starts a policy session whose answers are encrypted, to be flushed by the caller.
func (c *chip) policy() (tpm2.Session, func() error, error) {
	return tpm2.PolicySession(c, tpm2.TPMAlgSHA256, nonceSize,
		tpm2.Salted(storageKey, *c.parentPublic), tpm2.AESEncryption(aesBits, tpm2.EncryptOut))
}

// close flushes the session and hangs up.
func (c *chip) close() error {
	if c.session != nil {
		_ = c.flush(c.session.handle) // the next to connect does it too
		clear(c.session.key)
	}
	return c.conn.conn.Close()
}

// custodians says of an error of a command under the owner's password what it means.
func custodians(err error) error {
	switch {
	case errors.Is(err, tpm2.TPMRCLockout):
		return fmt.Errorf("%w: %w", anchor.ErrLocked, err)
	case errors.Is(err, tpm2.TPMRCBadAuth), errors.Is(err, tpm2.TPMRCAuthFail):
		return fmt.Errorf("%w: %w", anchor.ErrCustodian, err)
	}
	return err
}
