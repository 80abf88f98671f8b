package tpm

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// Where Keepsake's things are in a chip: in the owner's ranges (TCG, Registry of
// Reserved TPM 2.0 Handles and Localities), and never at the handles that other
// software takes by custom. So a chip holds one Keepsake machine.
const (
	indexSteps   tpm2.TPMHandle = 0x01804b50 // counts Advance
	indexRotates tpm2.TPMHandle = 0x01804b51 // counts Rotate; epoch keys are sealed to its value
	indexChain   tpm2.TPMHandle = 0x01804b52 // extended with every step
	storageKey   tpm2.TPMHandle = 0x81004b50 // parent of every key here
)

// index is one of the three in NV memory. Its name holds the attributes, so that a
// chip whose index is of another kind refuses every command about it.
type index struct {
	public tpm2.TPMSNVPublic
	name   tpm2.TPM2BName // once it was written
}

// Who has the password of the folder reads and writes; nobody else does, the owner
// and the platform neither. No protection against guessing (noDA): the password is 32
// random bytes, and a lock-out that anybody can cause is one that stops the machine.
func newIndex(handle tpm2.TPMHandle, kind tpm2.TPMNT, size uint16, orderly bool) index {
	public := tpm2.TPMSNVPublic{
		NVIndex: handle, NameAlg: tpm2.TPMAlgSHA256, DataSize: size,
		Attributes: tpm2.TPMANV{AuthRead: true, AuthWrite: true, NoDA: true, Orderly: orderly, NT: kind, Written: true},
	}
	name, err := tpm2.NVName(&public)
	if err != nil {
		panic(fmt.Sprintf("tpm: internal error: naming an index: %v", err))
	}
	public.Attributes.Written = false
	return index{public, *name}
}

// indices are the three of one machine.
type indices struct{ steps, rotates, chain index }

func newIndices(orderly bool) indices {
	return indices{
		steps: newIndex(indexSteps, tpm2.TPMNTCounter, 8, orderly),
		// Never orderly: a power cut would move it on, and nothing would open the epoch key again.
		rotates: newIndex(indexRotates, tpm2.TPMNTCounter, 8, false),
		// Orderly, it is lost at each start of the machine, also an orderly one.
		chain: newIndex(indexChain, tpm2.TPMNTExtend, sha256.Size, orderly),
	}
}

func (i indices) all() []index { return []index{i.steps, i.rotates, i.chain} }

func (i index) named() tpm2.NamedHandle {
	return tpm2.NamedHandle{Handle: i.public.NVIndex, Name: i.name}
}

func (c *chip) onIndex(i index, way direction) tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: i.public.NVIndex, Name: i.name, Auth: c.session.with(c.auth, way)}
}

// define makes an index and writes it for the first time.
func (c *chip) define(i index, owner tpm2.AuthHandle, auth []byte) error {
	_, err := tpm2.NVDefineSpace{
		AuthHandle: owner, Auth: tpm2.TPM2BAuth{Buffer: auth}, PublicInfo: tpm2.New2B(i.public),
	}.Execute(c)
	if err != nil {
		return fmt.Errorf("defining index %#x: %w", uint32(i.public.NVIndex), err)
	}
	return c.writeFirst(i)
}

// The chain's first value: part of what Prepare leaves, and what an orderly chain begins
// with again after each start of the machine.
var (
	firstLink  = sha256.Sum256([]byte("keepsake tpm chain\x01"))
	firstChain = extended([sha256.Size]byte{}, firstLink)
)

// writeFirst writes an index that was never written. Its name changes with that.
func (c *chip) writeFirst(i index) error {
	unwritten, err := tpm2.NVName(&i.public)
	if err != nil {
		return fmt.Errorf("naming index %#x: %w", uint32(i.public.NVIndex), err)
	}
	i.name = *unwritten
	if i.public.Attributes.NT == tpm2.TPMNTExtend {
		return c.extend(i, firstLink)
	}
	return c.increment(i)
}

func (c *chip) increment(i index) error {
	if _, err := (tpm2.NVIncrement{AuthHandle: c.onIndex(i, plain), NVIndex: i.named()}).Execute(c); err != nil {
		return fmt.Errorf("incrementing index %#x: %w", uint32(i.public.NVIndex), err)
	}
	return nil
}

func (c *chip) read(i index) ([]byte, error) {
	answer, err := tpm2.NVRead{AuthHandle: c.onIndex(i, plain), NVIndex: i.named(), Size: i.public.DataSize}.Execute(c)
	if err != nil {
		return nil, fmt.Errorf("reading index %#x: %w", uint32(i.public.NVIndex), err)
	}
	if len(answer.Data.Buffer) != int(i.public.DataSize) {
		return nil, fmt.Errorf("reading index %#x: %d bytes", uint32(i.public.NVIndex), len(answer.Data.Buffer))
	}
	return answer.Data.Buffer, nil
}

func (c *chip) count(i index) (uint64, error) {
	b, err := c.read(i)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}

// extended is what extending an index makes of its value: TPM 2.0 part 3, 31.9.
func extended(before, with [sha256.Size]byte) [sha256.Size]byte {
	return sha256.Sum256(append(before[:], with[:]...))
}

// extend is TPM2_NV_Extend (part 3, 31.9), which go-tpm v0.9.8 has no command for.
func (c *chip) extend(i index, with [sha256.Size]byte) error {
	u := c.session.with(c.auth, plain)
	if err := u.NewNonceCaller(); err != nil {
		return err
	}
	parameters := append([]byte{0, sha256.Size}, with[:]...)
	names := []tpm2.TPM2BName{i.name, i.name}
	auth, err := u.Authorize(tpm2.TPMCCNVExtend, parameters, nil, names, 0)
	if err != nil {
		return err
	}
	area := tpm2.Marshal(auth)
	b := binary.BigEndian.AppendUint16(nil, uint16(tpm2.TPMSTSessions))
	b = binary.BigEndian.AppendUint32(b, uint32(headerSize+8+4+len(area)+len(parameters)))
	for _, n := range []uint32{uint32(tpm2.TPMCCNVExtend), uint32(i.public.NVIndex), uint32(i.public.NVIndex), uint32(len(area))} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	response, err := c.Send(append(append(b, area...), parameters...))
	if err == nil {
		err = checkEmpty(response, u)
	}
	if err != nil {
		return fmt.Errorf("extending index %#x: %w", uint32(i.public.NVIndex), err)
	}
	return nil
}

// checkEmpty checks a response that has no parameters: header, u32 0, what the session says.
func checkEmpty(response []byte, u tpm2.Session) error {
	if len(response) < headerSize {
		return errors.New("half an answer")
	}
	if code := tpm2.TPMRC(binary.BigEndian.Uint32(response[6:])); code != tpm2.TPMRCSuccess {
		return code
	}
	if len(response) < headerSize+4 || binary.BigEndian.Uint32(response[headerSize:]) != 0 {
		return errors.New("an answer of another form")
	}
	auth, err := tpm2.Unmarshal[tpm2.TPMSAuthResponse](response[headerSize+4:])
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return u.Validate(tpm2.TPMRCSuccess, tpm2.TPMCCNVExtend, nil, nil, 0, auth)
}

// indexState is what a chip says of an index to anybody; nothing is founded on it but texts.
type indexState uint8

const (
	indexThere indexState = iota
	indexGone             // deleted, by the owner or by clearing the chip
	indexLost             // not written
	indexOther            // of another kind: made anew by somebody else
)

func (c *chip) inspect(i index) (indexState, error) {
	answer, err := tpm2.NVReadPublic{NVIndex: i.public.NVIndex}.Execute(c)
	if notThere(err) {
		return indexGone, nil
	}
	if err != nil {
		return 0, fmt.Errorf("asking for index %#x: %w", uint32(i.public.NVIndex), err)
	}
	public, err := answer.NVPublic.Contents()
	if err != nil {
		return indexOther, nil
	}
	written := public.Attributes.Written
	public.Attributes.Written = true
	name, err := tpm2.NVName(public)
	if err != nil || string(name.Buffer) != string(i.name.Buffer) {
		return indexOther, nil
	}
	if !written {
		return indexLost, nil
	}
	return indexThere, nil
}

// notThere reports whether a chip says that a handle is nothing's.
func notThere(err error) bool {
	return errors.Is(err, tpm2.TPMRCHandle) || errors.Is(err, tpm2.TPMRCValue)
}
