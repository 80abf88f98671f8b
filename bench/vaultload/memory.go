package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"keepsake.example/anchor/software"
	"keepsake.example/fleet"
	"keepsake.example/oprf"
	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd"
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
func measureMemory(ctx context.Context, dir, bin string, accounts []int) (list []memoryResult, err error) {
	empty, err := startCrowd(ctx, filepath.Join(dir, "empty"), bin, 1)
	if err != nil {
		return nil, err
	}
	for _, n := range accounts {
		m, err := startCrowd(ctx, filepath.Join(dir, fmt.Sprint(n)), bin, n)
		if err != nil {
			return nil, fmt.Errorf("%d accounts: %w", n, err)
		}
		m.perAccount = (m.resident - empty.resident) << 20 / n
		list = append(list, *m)
		progress(fmt.Sprintf("%d accounts: %d bytes each, started in %.1f s", n, m.perAccount, m.start.Seconds()))
	}
	return list, nil
}

func startCrowd(ctx context.Context, dir, bin string, n int) (*memoryResult, error) {
	defer os.RemoveAll(dir)
	i, err := newIssuer()
	if err != nil {
		return nil, err
	}
	p, err := foundProcess(bin, dir, i)
	if err != nil {
		return nil, err
	}
	if err := foundCrowd(ctx, p.home, n); err != nil {
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

// foundCrowd puts a replica with n accounts in the place of the one in home. Each
// account is like one that registered through the vault, under a name of its own:
// registering ten million through the log would take hours.
func foundCrowd(ctx context.Context, home string, n int) error {
	state, anchor := filepath.Join(home, "state"), filepath.Join(home, "anchor")
	for _, d := range []string{state, anchor} {
		if err := os.RemoveAll(d); err != nil {
			return err
		}
	}
	a, err := software.Open(anchor)
	if err != nil {
		return err
	}
	defer a.Close()
	picture, err := pictureOfOne()
	if err != nil {
		return err
	}
	cut := bytes.Index(picture, []byte("keepsake vault state")) - 2 // a length before it
	return replica.Create(ctx, replica.Config{Dir: state, Anchor: a, NewMachine: func() replica.Machine { return &crowd{picture[:cut], picture[cut:], n} }}, 1, nil)
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

// pictureOfOne is that of a vault in which one person registered three hours ago.
func pictureOfOne() ([]byte, error) {
	now := uint64(time.Now().Add(-3 * time.Hour).UnixMilli())
	commands, err := oneRegistration(now)
	if err != nil {
		return nil, err
	}
	m, err := foundMachine(commands[0])
	if err != nil {
		return nil, err
	}
	for _, c := range commands[1:] {
		e, err := m.Apply(c.Encode(), false)
		if err != nil {
			return nil, err
		}
		if code := e.(*vault.Effect).Answer.Code; code != vaultapi.OK {
			return nil, fmt.Errorf("a command of the one account was answered %v", code)
		}
	}
	var b bytes.Buffer
	c := m.Checkpoint()
	defer c.Release()
	_, err = c.WriteTo(&b)
	return b.Bytes(), err
}

// foundMachine is the root group of a fleet of one machine.
func foundMachine(genesis *vault.Command) (*machine.Machine, error) {
	keys, err := vaultd.NewKeys()
	if err != nil {
		return nil, err
	}
	defer keys.Wipe()
	self := keys.Card("alone", "none", "127.0.0.1:1").Member(1)
	self.Learner = false
	nobody := [32]byte(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey))
	r := &roster.Roster{
		Fleet: genesis.Fleet, Groups: 1, Operators: []roster.Operator{{Name: "nobody", Key: nobody}}, Quorum: 1,
		Policy: roster.Policy(genesis.Policy), Members: []roster.Member{self}, Highest: 1,
	}
	m := machine.New(machine.Root, nil)
	for _, entry := range [][]byte{r.Encode(), genesis.Encode()} {
		if _, err := m.Apply(entry, false); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func oneRegistration(now uint64) ([]*vault.Command, error) {
	genesis := &vault.Command{Kind: vault.Genesis, Time: now, Policy: vault.Policy(policy())}
	rand.Read(genesis.IdentitySeed[:])
	rand.Read(genesis.NamingKey[:])
	genesis.Fleet = fleet.ID(ed25519.NewKeyFromSeed(genesis.IdentitySeed[:]).Public().(ed25519.PublicKey))
	key := &vault.Command{Kind: vault.AddChannelKey, Time: now, ChannelKey: vault.ChannelKey{NotBefore: now, NotAfter: now + 21*24*3600*1000}}
	rand.Read(key.ChannelKey.Seed[:])
	k, err := oprf.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	p := &vaultapi.ProposeBody{Record: vaultapi.ID{1}, Limit: 10, Envelope: make([]byte, envelopeSize)}
	k.Use(func(b *[32]byte) { p.Key = vaultapi.NewSecret(b) })
	for _, b := range [][]byte{p.Unlock[:], p.Device[:], p.Envelope} {
		rand.Read(b)
	}
	request := func(b vaultapi.Body) *vault.Command {
		return &vault.Command{Kind: vault.Request, Time: now, Account: vaultapi.Account{1}, Body: b}
	}
	return []*vault.Command{genesis, key, request(p), request(&vaultapi.ConfirmBody{Record: p.Record}), {Kind: vault.Tick, Time: now + 2*3600*1000}}, nil
}

func writeMemory(w io.Writer, list []memoryResult) {
	fmt.Fprint(w, "## (c) Memory and start-up\n\nA `vaultd serve` on the files of a replica with so many accounts, each with an envelope of 141 bytes and no history. Start-up is from the start of the process to the first `/readyz` that says yes: open the anchor, read, open and check the checkpoint, index it. Bytes per account are resident memory then, over that of a vaultd with one account.\n\n")
	fmt.Fprint(w, "| accounts | bytes per account | resident MiB | files MB | start-up s |\n|--:|--:|--:|--:|--:|\n")
	for _, m := range list {
		fmt.Fprintf(w, "| %d | %d | %d | %.0f | %.1f |\n", m.accounts, m.perAccount, m.resident, float64(m.disk)/1e6, m.start.Seconds())
	}
}
