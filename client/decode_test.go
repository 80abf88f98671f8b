package client_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/client"
)

var goodConfig = []byte(`{
  "version": 1,
  "created": "2026-11-22T12:12:29Z",
  "source": "/home/ada/Chats",
  "cloud": "/media/disk/backup",
  "repository": "225b44a46c18ee08e6c424f269bbaffa",
  "device": "ae71382372cd44cd4044def540e2ac96",
  "key_store": "file"
}
`)

func goodState(t testing.TB) []byte {
	t.Helper()
	data, err := client.EncodeState(&client.State{
		Mark:       backup.Mark{Seq: 7, Head: "225b44a46c18ee08e6c424f269bbaffa"},
		LastBackup: &client.LastBackup{Time: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), Snapshot: "ab", Files: 3, Bytes: 5},
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDecodeConfigRefuses(t *testing.T) {
	if _, err := client.DecodeConfig(goodConfig); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"empty":            nil,
		"newer version":    bytes.Replace(goodConfig, []byte(`"version": 1`), []byte(`"version": 2`), 1),
		"unknown field":    bytes.Replace(goodConfig, []byte(`"key_store"`), []byte(`"key_stores"`), 1),
		"relative source":  bytes.Replace(goodConfig, []byte(`"/home`), []byte(`"home`), 1),
		"relative cloud":   bytes.Replace(goodConfig, []byte(`"/media`), []byte(`"media`), 1),
		"other key store":  bytes.Replace(goodConfig, []byte(`"file"`), []byte(`"cloud"`), 1),
		"short device":     bytes.Replace(goodConfig, []byte(`ac96"`), []byte(`ac9"`), 1),
		"upper case":       bytes.Replace(goodConfig, []byte(`ae71`), []byte(`AE71`), 1),
		"no repository":    bytes.Replace(goodConfig, []byte(`225b44a46c18ee08e6c424f269bbaffa`), nil, 1),
		"text behind":      append(bytes.Clone(goodConfig), "{}"...),
		"longer than that": append(bytes.Clone(goodConfig), bytes.Repeat([]byte(" "), 256<<10)...),
	} {
		if _, err := client.DecodeConfig(bad); !errors.Is(err, client.ErrProfileDamaged) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestTruncatedConfigIsRefused(t *testing.T) {
	for n := range len(goodConfig) - 2 { // without its last line end it is whole
		if _, err := client.DecodeConfig(goodConfig[:n]); err == nil {
			t.Errorf("the first %d bytes were accepted", n)
		}
	}
}

// A changed byte in state.json must not pass for a rolled back cloud, nor hide one.
func TestMangledStateIsRefused(t *testing.T) {
	good := goodState(t)
	if _, err := client.DecodeState(good); err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if _, err := client.DecodeState(good[:n]); err == nil {
			t.Errorf("the first %d bytes were accepted", n)
		}
		for _, flip := range []byte{0x01, 0x20, 0x80, 0xff} {
			bad := bytes.Clone(good)
			bad[n] ^= flip
			if _, err := client.DecodeState(bad); err == nil {
				t.Errorf("accepted with byte %d changed to %q", n, bad[n])
			}
		}
	}
}

func FuzzDecodeConfig(f *testing.F) {
	f.Add(goodConfig)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := client.DecodeConfig(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.DecodeConfig(again); err != nil {
			t.Errorf("accepted, and refused when written again: %v", err)
		}
	})
}

func FuzzDecodeState(f *testing.F) {
	f.Add(goodState(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := client.DecodeState(data)
		if err != nil {
			return
		}
		if again, err := client.EncodeState(s); err != nil || !bytes.Equal(again, data) {
			t.Errorf("accepted %q, written again as %q (%v)", data, again, err)
		}
	})
}
