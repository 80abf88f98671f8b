package tpm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/google/go-tpm/tpm2"

	"keepsake.example/anchor"
)

// Device is a machine's TPM. It does one command at a time, as chips do: its methods
// wait for each other. See [anchor.Device].
type Device struct {
	turn    chan struct{} // who holds it has the chip; of what follows
	folder  *folder
	chip    *chip
	machine *machine
	indices indices

	state *os.File
	now   *slot             // nil before Found
	at    int               // where in the file it is
	fleet *tpm2.NamedHandle // the fleet key, where it is loaded
	began bool              // the machine was started since, and an orderly chain with it
	sum   []byte
	// broken is why nothing can be done any more: after a failed step nobody knows where
	// the chip stands, until the device is opened again.
	broken error
}

var _ anchor.Device = (*Device)(nil)

var errClosed = errors.New("tpm: closed")

// Open opens the machine that Prepare made: [anchor.ErrAbsent] if there is no chip or
// nothing was prepared, [anchor.ErrForeign] if the chip is not the one that belongs to
// the folder, was cleared, or has counted what the folder does not know: the folder was
// put back, or the power failed with Options.Orderly. A step that a crash interrupted is
// finished. One process can have a folder open at a time: [anchor.ErrInUse].
func Open(ctx context.Context, o Options) (*Device, error) {
	d := &Device{turn: make(chan struct{}, 1)}
	if err := d.open(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("tpm: opening the TPM at %s with the folder %s: %w", o.Path, o.Dir, err), d.Close())
	}
	return d, nil
}

func (d *Device) open(ctx context.Context, o Options) (err error) {
	if _, err := os.Stat(o.Dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: nothing was prepared", anchor.ErrAbsent)
	}
	if d.folder, err = openFolder(o.Dir); err != nil {
		return err
	}
	data, err := d.folder.read(machineName, maxMachine)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: nothing was prepared", anchor.ErrAbsent)
	}
	if err != nil {
		return err
	}
	defer clear(data)
	if d.machine, err = decodeMachine(data); err != nil {
		return err
	}
	d.indices = newIndices(d.machine.orderly)
	if d.chip, err = connectChip(ctx, o); err != nil {
		return err
	}
	if err := d.recognize(); err != nil {
		return err
	}
	return d.locate()
}

func foreign(why string) error { return fmt.Errorf("%w: %s", anchor.ErrForeign, why) }

const lostPower = "the power failed while the count was in the chip's RAM (orderly): " +
	"the last steps cannot be vouched for; prepare the TPM anew and join as a new member"

// recognize makes sure that this is the chip. What a chip says to anybody decides the text
// alone: that it is the one, the session shows, whose salt only it can decrypt.
func (d *Device) recognize() error {
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](d.machine.storage)
	if err != nil {
		return fmt.Errorf("reading the storage key: %w", err)
	}
	answer, err := tpm2.ReadPublic{ObjectHandle: storageKey}.Execute(d.chip)
	switch {
	case notThere(err):
		return foreign("it was cleared, or is another one: its storage key is gone")
	case err != nil:
		return fmt.Errorf("asking for the storage key: %w", err)
	case string(answer.OutPublic.Bytes()) != string(d.machine.storage):
		return foreign("it is another one, or was prepared anew: its storage key is another")
	}
	for _, i := range d.indices.all() {
		found, err := d.chip.inspect(i)
		if err != nil {
			return err
		}
		if err := d.judge(i, found); err != nil {
			return err
		}
	}
	return d.chip.trust(public, d.machine.auth[:])
}

func (d *Device) judge(i index, found indexState) error {
	switch {
	case found == indexGone:
		return foreign("one of its counters was deleted")
	case found == indexLost && d.machine.orderly && i.public.NVIndex == indexChain:
		d.began = true
		return nil
	case found != indexThere:
		return foreign("one of its counters was deleted and made anew")
	}
	return nil
}

// stands reads the three indices.
func (c *chip) stands(i indices) (at standing, err error) {
	if at.steps, err = c.count(i.steps); err != nil {
		return standing{}, err
	}
	if at.rotated, err = c.count(i.rotates); err != nil {
		return standing{}, err
	}
	chain, err := c.read(i.chain)
	if err != nil {
		return standing{}, err
	}
	at.chain = [sha256.Size]byte(chain)
	return at, nil
}

// locate finds the state that the chip vouches for, and finishes a step that a crash
// left between its two commands.
func (d *Device) locate() error {
	at, err := d.standsNow()
	if err != nil {
		return err
	}
	slots, err := d.readState()
	if err != nil {
		return err
	}
	for n, s := range slots {
		switch {
		case s == nil:
		case s.standing() == at:
			d.now, d.at = s, n
			return d.burn(at)
		case s.halfway() == at:
			d.now, d.at = s, n
			if err := d.count(s); err != nil {
				return err
			}
			return d.burn(s.standing())
		}
	}
	if at == d.machine.fresh {
		return nil // a slot that is there is what a crash left of Found
	}
	if d.machine.orderly && at.chain == firstChain {
		return d.locateByCount(slots, at)
	}
	return d.diagnose(slots, at)
}

// standsNow asks the chip for the first time. An orderly chain begins anew after a start.
func (d *Device) standsNow() (standing, error) {
	if err := d.unsealSum(); err != nil {
		return standing{}, err
	}
	if d.began {
		if err := d.chip.writeFirst(d.indices.chain); err != nil {
			return standing{}, err
		}
	}
	at, err := d.chip.stands(d.indices)
	if errors.Is(err, tpm2.TPMRCBadAuth) || errors.Is(err, tpm2.TPMRCAuthFail) {
		return standing{}, foreign("one of its counters was deleted and made anew")
	}
	return at, err
}

// locateByCount finds the state after the machine was started, when an orderly chain
// begins anew: by the counters alone, in a slot that this machine wrote.
func (d *Device) locateByCount(slots [2]*slot, at standing) error {
	for n, s := range slots {
		if s != nil && s.standing().counts() == at.counts() {
			d.now, d.at = s, n
			return d.burn(at)
		}
	}
	return d.diagnose(slots, at)
}

// burn moves an orderly counter on at each Open, the state staying what it is. When the
// chain begins anew, a slot counts for its numbers alone, and there must not be two
// with the same: one that a process had prepared when it died, and one of the next
// process. With this the next begins one count later; the prepared one counts only as
// long as nothing was done since, and then it is as good as its predecessor: nobody was
// told of it, or of another.
func (d *Device) burn(from standing) error {
	if !d.machine.orderly {
		return nil
	}
	return d.step(from, burns, d.now.state, nil)
}

// unsealSum gets the key of the slots' sums. Where the chain is not orderly there is
// none: a slot of any other bytes was not counted by the chip. Where it is, after a start
// of the machine only the key tells a slot that this machine wrote: who once was root
// here can keep it, and write slots.
func (d *Device) unsealSum() (err error) {
	if d.machine.orderly {
		d.sum, err = d.unseal(d.machine.sum)
	}
	return err
}

// readState opens the file of states and reads its slots: nil is one that was never
// written, or torn.
func (d *Device) readState() (slots [2]*slot, err error) {
	d.state, err = d.folder.root.OpenFile(stateName, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return slots, nil
	}
	if err != nil {
		return slots, err
	}
	data := make([]byte, stateSize)
	if _, err := d.state.ReadAt(data, 0); err != nil && !errors.Is(err, io.EOF) {
		return slots, err
	}
	for n := range slots {
		if s, err := decodeSlot(d.sum, data[n*slotPitch:][:slotPitch]); err == nil {
			slots[n] = &s
		}
	}
	return slots, nil
}

// diagnose says why no state of the folder is the chip's. Counters only go up.
func (d *Device) diagnose(slots [2]*slot, at standing) error {
	newest := d.machine.fresh
	for _, s := range slots {
		if s != nil && s.standing().total() > newest.total() {
			newest = s.standing()
		}
	}
	switch {
	case at.total() < newest.total():
		return foreign("it counts less than the folder knows: it was put back")
	case d.machine.orderly && at.steps > newest.steps:
		return foreign(lostPower)
	case at.total() == newest.total():
		return foreign("it counted other steps than the folder knows, its chain was deleted and made anew, or the folder's files are damaged")
	}
	return foreign("it has counted steps that the folder does not know: the folder was put back, its files are damaged, or a counter was deleted and made anew")
}

// begin waits for the chip. The caller gives it back with end.
func (d *Device) begin(ctx context.Context) error {
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	err := d.broken
	if err == nil {
		err = ctx.Err() // select takes any of two that are ready
	}
	if err != nil {
		d.end()
	}
	return err
}

func (d *Device) end() { <-d.turn }

func (d *Device) breaks(err error) error {
	d.broken = err
	return err
}

// Describe implements [anchor.Anchor].
func (d *Device) Describe() anchor.Description {
	return anchor.Description{
		Name: "tpm",
		Protects: "from who copies or puts back the machine's disk, or takes the disk to another machine: without this machine's TPM nothing on it can be read, and the TPM's count cannot be put back; " +
			"not from who is root while the machine runs, nor from who opens the machine and speaks for the processor on the TPM's wires",
	}
}

// Close implements [anchor.Anchor]: it waits for a command that is under way, and frees
// chip and folder for another process.
func (d *Device) Close() error {
	d.turn <- struct{}{}
	defer d.end()
	if d.broken == errClosed {
		return nil
	}
	d.broken = errClosed
	var err error
	if d.chip != nil {
		err = d.chip.close()
	}
	if d.machine != nil {
		clear(d.machine.auth[:])
	}
	clear(d.sum)
	if d.state != nil {
		err = errors.Join(err, d.state.Close())
	}
	if d.folder != nil {
		err = errors.Join(err, d.folder.close())
	}
	return err
}
