package tpm

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/internal/durable"
	"keepsake.example/internal/wire"
)

const (
	machineName = "machine"
	stateName   = "state"
	fleetName   = "fleet-key"
	lockName    = "lock"
	maxMachine  = 4096
)

// folder holds the files of a machine. None of them holds a secret that is worth
// anything without the chip. One process has it open at a time.
type folder struct {
	root *os.Root
	lock *os.File
}

func openFolder(path string) (*folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	f := &folder{root: root}
	if err := f.take(); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *folder) take() (err error) {
	if f.lock, err = f.root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if got, err := durable.TryLock(f.lock); err != nil {
		return err
	} else if !got {
		return anchor.ErrInUse
	}
	return durable.Sweep(f.root, time.Now().Add(time.Hour))
}

func (f *folder) close() error {
	err := f.root.Close()
	if f.lock != nil {
		err = errors.Join(err, f.lock.Close())
	}
	return err
}

// read reads a file of at most limit bytes.
func (f *folder) read(name string, limit int64) ([]byte, error) {
	info, err := f.root.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes", filepath.Join(f.root.Name(), name), info.Size())
	}
	return f.root.ReadFile(name)
}

// create writes a file that is not there yet.
func (f *folder) create(name string, data []byte) error {
	file, err := durable.Create(f.root, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(data); err != nil {
		return err
	}
	return file.Publish(name)
}

// empty removes what another machine of this folder left.
func (f *folder) empty() error {
	for _, name := range []string{machineName, stateName, fleetName} {
		if err := durable.Remove(f.root, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// machine is what Prepare made: the file "machine".
type machine struct {
	auth     [32]byte // password of the chip's indices and keys
	storage  []byte   // public area of the storage key
	fresh    standing // at which nothing is founded
	orderly  bool
	pcrs     uint32 // bit n: PCR n
	exchange object // the machine's own key
	sum      object // the key of [Device.unsealSum]
}

const machineMagic = "ksp-tpmd\x01"

func (m *machine) layout(w *wire.Codec) {
	w.Constant(machineMagic)
	w.Bytes(m.auth[:])
	w.Counted(&m.storage, 1, maxPublic)
	w.U64(&m.fresh.steps)
	w.U64(&m.fresh.rotated)
	w.Bytes(m.fresh.chain[:])
	w.Flag(&m.orderly)
	w.U32(&m.pcrs)
	w.Must(m.pcrs < 1<<pcrCount)
	m.exchange.layout(w)
	m.sum.layout(w)
}

func (m *machine) encode() []byte {
	w := wire.Append(make([]byte, 0, maxMachine))
	m.layout(w)
	sum := sha256.Sum256(w.Written())
	return append(w.Written(), sum[:]...)
}

func decodeMachine(b []byte) (*machine, error) {
	if len(b) < sha256.Size || len(b) > maxMachine {
		return nil, fmt.Errorf("a machine's file of %d bytes", len(b))
	}
	body, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if sha256.Sum256(body) != [sha256.Size]byte(sum) {
		return nil, errors.New("a damaged machine's file")
	}
	m := &machine{}
	w := wire.Read(body)
	if m.layout(w); !w.Done() {
		return nil, errors.New("a machine's file of another form")
	}
	m.storage, m.exchange, m.sum = append([]byte{}, m.storage...), m.exchange.clone(), m.sum.clone()
	return m, nil
}
