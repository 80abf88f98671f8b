package fleet_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"testing"

	"keepsake.example/fleet"
	"keepsake.example/sealed"
	"keepsake.example/vectors"
)

// must returns v, and panics on an error that no test expects.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func unhex(s string) []byte { return must(hex.DecodeString(s)) }

func identityOf(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32))
}

func publicOf(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

var (
	identity = identityOf(0x1d)
	testID   = fleet.ID(publicOf(identity))
)

func channelKey(b byte) *sealed.PublicKey {
	return must(sealed.ParsePrivateKey(testID, bytes.Repeat([]byte{b}, 32))).Public()
}

const (
	now = 1_800_000_000_000
	day = 86_400_000
)

func bundle() *fleet.Bundle {
	return &fleet.Bundle{
		Serial: 7, Issued: now, Identity: publicOf(identity),
		Keys:   []fleet.ChannelKey{{NotBefore: now, NotAfter: now + 21*day, Key: channelKey(1)}},
		Policy: fleet.DefaultPolicy(),
	}
}

// hardened is the bundle of a fleet with a key in its hardware: G, of the key 1.
func hardened() *fleet.Bundle {
	b := bundle()
	b.FleetKey = generator
	return b
}

var generator = [33]byte(unhex("036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"))

func vectorFiles(t testing.TB) []*vectors.Vector {
	t.Helper()
	all, err := vectors.All("fleet")
	if err != nil || len(all) == 0 {
		t.Fatalf("%d vectors, %v", len(all), err)
	}
	return all
}

// sign signs any content as a bundle.
func sign(identity ed25519.PrivateKey, content []byte) []byte {
	return append(bytes.Clone(content), ed25519.Sign(identity, append([]byte("keepsake bundle signature\x01"), content...))...)
}
