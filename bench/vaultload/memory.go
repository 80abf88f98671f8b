package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"keepsake.example/anchor/software"
	"keepsake.example/replica"
	"keepsake.example/vaultd/machine"
)

// memoryResult is part (c) for one number of accounts.
type memoryResult struct {
	accounts   int
	perAccount int // bytes of resident memory over those of an empty vaultd
	resident   int // MiB
	start      time.Duration
	disk       int64 // bytes of the replica's files
}

// measureMemory starts a vaultd on the files of ever more accounts, each from a
// cold page cache as far as sync and a fresh process give one.
func measureMemory(dir, bin string, accounts []int) (list []memoryResult, err error) {
	empty, err := startCrowd(filepath.Join(dir, "empty"), bin, 1)
	if err != nil {
		return nil, err
	}
	for _, n := range accounts {
		m, err := startCrowd(filepath.Join(dir, fmt.Sprint(n)), bin, n)
		if err != nil {
			return nil, fmt.Errorf("%d accounts: %w", n, err)
		}
		m.perAccount = (m.resident - empty.resident) << 20 / n
		list = append(list, *m)
		progress(fmt.Sprintf("%d accounts: %d bytes each, started in %.1f s", n, m.perAccount, m.start.Seconds()))
	}
	return list, nil
}

func startCrowd(dir, bin string, n int) (*memoryResult, error) {
	defer os.RemoveAll(dir)
	i, err := newIssuer()
	if err != nil {
		return nil, err
	}
	p, err := foundProcess(bin, dir, i)
	if err != nil {
		return nil, err
	}
	if err := registerOne(p, bin, i); err != nil {
		return nil, err
	}
	if err := crowdOf(p.home, n); err != nil {
		return nil, err
	}
	m := &memoryResult{accounts: n, disk: folderSize(filepath.Join(p.home, "state"))}
	began := time.Now()
	if err := p.serve(bin); err != nil {
		return nil, err
	}
	m.start, m.resident = time.Since(began), p.memory("VmRSS:")
	return m, p.stop()
}

// registerOne has one person register with a vaultd that it starts and stops.
func registerOne(p *process, bin string, i *issuer) error {
	people, err := newPeople(p.key, i, 1)
	if err != nil {
		return err
	}
	if err := p.serve(bin); err != nil {
		return err
	}
	return errors.Join(alone(p).register(people), p.stop())
}

func folderSize(dir string) (size int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if i, err := d.Info(); err == nil {
				size += i.Size()
			}
		}
		return nil
	})
	return size
}

// crowdOf puts a replica with n accounts in the place of the one in home, which has
// one. Each is like it, under a name of its own: registering ten million through the
// log would take hours.
func crowdOf(home string, n int) error {
	state, dir := filepath.Join(home, "state"), filepath.Join(home, "anchor")
	picture, err := pictureOf(state, dir)
	if err != nil {
		return err
	}
	for _, d := range []string{state, dir} {
		if err := os.RemoveAll(d); err != nil {
			return err
		}
	}
	a, err := software.Open(dir)
	if err != nil {
		return err
	}
	defer a.Close()
	cut := bytes.Index(picture, []byte("keepsake vault state")) - 2 // a length before it
	return replica.Create(context.Background(), replica.Config{Dir: state, Anchor: a, NewMachine: func() replica.Machine { return &crowd{picture[:cut], picture[cut:], n} }}, 1, nil)
}

// pictureOf is the picture of the machine in a vaultd's files.
func pictureOf(state, dir string) (picture []byte, err error) {
	a, err := software.Open(dir)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	r, err := replica.Open(context.Background(), replica.Config{Dir: state, Anchor: a, NewMachine: func() replica.Machine { return machine.New(machine.Root, nil) }})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	lost := r.Read(context.Background(), func(m replica.Machine) {
		c := m.Checkpoint()
		defer c.Release()
		_, err = c.WriteTo(&b)
	})
	return b.Bytes(), errors.Join(lost, err, r.Close())
}

// crowd is a machine whose picture is that of a vault with n accounts.
type crowd struct {
	lead []byte // what stands before the records in the picture of a group
	one  []byte // the records of a vault with one
	n    int
}

func (c *crowd) Apply([]byte, bool) (any, error) { return nil, nil }
func (c *crowd) Change([]byte) (any, error)      { return nil, nil }
func (c *crowd) Members() []replica.Member       { return []replica.Member{{Number: 1}} }
func (c *crowd) Checkpoint() replica.Checkpoint  { return c }
func (c *crowd) Restore(io.Reader) error         { return nil }
func (c *crowd) Release()                        {}

// WriteTo writes the head of the one's picture, its account n times under names
// that rise evenly, as hashes in their order do, and the end (package cells).
func (c *crowd) WriteTo(w io.Writer) (int64, error) {
	if _, err := w.Write(c.lead); err != nil {
		return 0, err
	}
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<20)
	head := 2 + int(binary.BigEndian.Uint16(c.one))
	account := bytes.Clone(c.one[head : len(c.one)-2-crc32.Size])
	out.Write(c.one[:head])
	for i := range c.n {
		binary.BigEndian.PutUint64(account[2:], uint64(i)*(1<<63/uint64(c.n)*2))
		out.Write(account)
	}
	out.Write([]byte{0, 0})
	if err := out.Flush(); err != nil {
		return 0, err
	}
	if _, err := w.Write(sum.Sum(nil)); err != nil {
		return 0, err
	}
	return int64(len(c.lead) + head + c.n*len(account) + 2 + crc32.Size), nil
}

func writeMemory(w io.Writer, list []memoryResult) {
	fmt.Fprint(w, "## (c) Memory and start-up\n\nA `vaultd serve` on the files of a replica with so many accounts, each with an envelope of 141 bytes and no history. Start-up is from the start of the process to the first `/readyz` that says yes: open the anchor, read, open and check the checkpoint, index it. Bytes per account are resident memory then, over that of a vaultd with one account.\n\n")
	fmt.Fprint(w, "| accounts | bytes per account | resident MiB | files MB | start-up s |\n|--:|--:|--:|--:|--:|\n")
	for _, m := range list {
		fmt.Fprintf(w, "| %d | %d | %d | %.0f | %.1f |\n", m.accounts, m.perAccount, m.resident, float64(m.disk)/1e6, m.start.Seconds())
	}
}
