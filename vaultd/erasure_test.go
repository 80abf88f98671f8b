package vaultd_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd"
)

// A person registers, ten wrong passwords destroy the record, a checkpoint is made. Somebody
// has an image of the disk from every step on the way, and gets today, besides, every secret
// that is outside the hardware: all epoch keys that the machine uses, and the one that the
// device hands out. Nothing of the record can be read any more; before the checkpoint, the
// same search with the secrets of that time finds it. The device is opened by the images'
// side only as it is today: what it was is gone, which is what the adapters' own tests show.
func TestDestroyedRecordIsUnreadable(t *testing.T) {
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			m := newMachine(t, kind, func(c *vaultd.Config) { c.Limits.Checkpoint = 168 * time.Hour }) // none but the one below
			var images []image
			keep := func() { images = append(images, imageOf(t, m.disks()...)) }
			keep()
			p := m.registered("alice", "right")
			keep()
			for range 9 {
				a := wants(t, p.ask(newGuess("wrong").body), vaultapi.OK)
				m.waits(a)
				keep()
			}
			wants(t, p.ask(newGuess("wrong").body), vaultapi.OK)
			keep()
			m.clock.advance(2 * time.Hour) // past the grace of the last attempt
			wants(t, p.ask(newGuess("right").body), vaultapi.Destroyed)
			keep()
			secrets := secretsOf(p)
			for _, name := range []string{"k", "envelope"} {
				if !m.reads(images, secrets[name]) {
					t.Errorf("before the checkpoint the search does not find the %s: it searches badly", name)
				}
			}
			m.device.before = func() error { keep(); return nil } // the new epoch is written, and not counted
			if r := m.admin("POST", "/checkpoint"); r.Code != 204 {
				t.Fatalf("checkpoint: %d %s", r.Code, r.Body)
			}
			m.device.before = nil
			keep()
			for _, name := range []string{"k", "envelope"} {
				if m.reads(images, secrets[name]) {
					t.Errorf("after the checkpoint the %s is found", name)
				}
			}
			if !m.reads(images, p.record[:]) {
				t.Error("the number of the record, which stays, is not found either: the search finds nothing at all")
			}
			m.stop()
			m.oldDisksAreRefused(images)
		})
	}
}

// oldDisksAreRefused gives images to the machine itself, with its hardware. The last two
// are as the device counted.
func (m *metal) oldDisksAreRefused(images []image) {
	now := imageOf(m.t, m.disks()...)
	for n := 0; n < len(images)-2; n += 3 {
		old := images[n]
		old.putBack(m.t, m.disks()...)
		if m.refuses("an old disk") == nil {
			m.t.Errorf("image %d of %d", n, len(images))
		}
	}
	now.putBack(m.t, m.disks()...)
	m.up()
}

// reads looks for bytes in all that opens of some images with the secrets of now.
func (m *metal) reads(images []image, what []byte) bool {
	m.t.Helper()
	ctx := m.t.Context()
	_, device, err := m.device.Read(ctx)
	okay(m.t, err)
	_, epoch, err := m.anchor.Read(ctx)
	okay(m.t, err)
	defer epoch.Wipe()
	for _, i := range images {
		keys := []*anchor.Key{epoch, device} // whatever a key is for, it is tried
		for path, file := range i {
			if filepath.Base(path) == "ledger" {
				keys = append(keys, ledgerKeys(file, device)...)
			}
		}
		for path, file := range i {
			if bytes.Contains(file, what) || bytes.Contains(plaintext(filepath.Base(path), file, keys), what) {
				return true
			}
		}
	}
	return false
}

// A reader of the disk that shares no code with the packages that write it; spec/replication.md
// §2, §3.3, §5 and §6.

func refAEAD(key *anchor.Key, salt []byte, label string) (aead cipher.AEAD) {
	key.Use(func(secret *[anchor.KeySize]byte) {
		k := must(hkdf.Key(sha256.New, secret[:], salt, label, 32))
		aead = must(cipher.NewGCM(must(aes.NewCipher(k))))
	})
	return aead
}

// ledgerKeys are the epoch keys in the slots of a ledger that a device's key opens.
func ledgerKeys(file []byte, device *anchor.Key) (keys []*anchor.Key) {
	const header, pitch, line = 52, 32 << 10, 76
	for at := 0; at+pitch <= len(file); at += pitch {
		slot := file[at : at+pitch]
		n := int(binary.BigEndian.Uint32(slot[header-4:]))
		if n < 18 || n > pitch-header {
			continue
		}
		plain, err := refAEAD(device, slot[16:48], "keepsake ledger slot\x01").Open(nil, make([]byte, 12), slot[header:header+n], slot[:header])
		if err != nil {
			continue
		}
		for groups := plain[2:]; len(groups) >= line; groups = groups[line:] {
			keys = append(keys, anchor.KeyFromBytes([32]byte(groups[44:76])))
		}
	}
	return keys
}

// plaintext is all of a log or a checkpoint that one of the keys opens.
func plaintext(name string, file []byte, keys []*anchor.Key) (plain []byte) {
	for _, key := range keys {
		switch {
		case strings.HasPrefix(name, "log-"):
			plain = append(plain, records(file, key)...)
		case strings.HasPrefix(name, "checkpoint-"):
			plain = append(plain, chunks(file, key)...)
		}
	}
	return plain
}

// records are those of a log; one that does not open is passed over.
func records(file []byte, key *anchor.Key) (plain []byte) {
	const header, head = 64, 76
	if len(file) < header {
		return nil
	}
	for rest := file[header:]; len(rest) > head; {
		n := int(binary.BigEndian.Uint32(rest))
		if n == 0 || head+n > len(rest) {
			break
		}
		batch, err := refAEAD(key, rest[44:76], "keepsake replica record\x01").Open(nil, make([]byte, 12), rest[head:head+n], rest[:head])
		if err == nil {
			plain = append(plain, batch...)
		}
		rest = rest[head+n:]
	}
	return plain
}

func chunks(file []byte, key *anchor.Key) (plain []byte) {
	const header, chunk = 56, 1<<18 + 16
	if len(file) < header {
		return nil
	}
	aead, rest := refAEAD(key, file[24:56], "keepsake replica checkpoint\x01"), file[header:]
	for i := uint64(0); len(rest) > 0; i++ {
		n, nonce := min(len(rest), chunk), make([]byte, 12)
		binary.BigEndian.PutUint64(nonce[4:], i)
		if n == len(rest) {
			nonce[0] = 1
		}
		if inside, err := aead.Open(nil, nonce, rest[:n], file[:header]); err == nil {
			plain = append(plain, inside...)
		}
		rest = rest[n:]
	}
	return plain
}
