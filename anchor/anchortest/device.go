package anchortest

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/mlkem"
	"crypto/rand"
	"testing"

	"keepsake.example/anchor"
	"keepsake.example/oprf/p256"
)

// RunDevice runs [Run] and what devices promise besides. open opens the device of
// that name, which at the first call for a name is a new one, prepared with the
// custodian's secret; the suite closes what it opens, and has up to three of them open
// at a time. In one test a wrong secret is tried, twice on one device, with the right one in between.
func RunDevice(t *testing.T, open func(t *testing.T, name string) anchor.Device, custodian *anchor.Secret) {
	Run(t, func(t *testing.T, name string) anchor.Anchor { return open(t, name) })
	for name, test := range map[string]func(*deviceSuite){
		"Seal": (*deviceSuite).seal, "SealMangled": (*deviceSuite).sealMangled, "SealApart": (*deviceSuite).sealApart,
		"SealLimits": (*deviceSuite).sealLimits, "Exchanger": (*deviceSuite).exchanger, "ExchangerApart": (*deviceSuite).exchangerApart,
		"ExchangerHybrid": (*deviceSuite).exchangerHybrid, "NoFleetKey": (*deviceSuite).noFleetKey, "MakeFleetKey": (*deviceSuite).makeFleetKey,
		"Evaluate": (*deviceSuite).evaluate, "EvaluateBase": (*deviceSuite).evaluateBase, "NoPoint": (*deviceSuite).noPoint,
		"CopyFleetKey": (*deviceSuite).copyFleetKey, "CopyRefused": (*deviceSuite).copyRefused, "CopyMangled": (*deviceSuite).copyMangled,
		"RequestMangled": (*deviceSuite).requestMangled, "Custodian": (*deviceSuite).wrongCustodian, "DeviceClosed": (*deviceSuite).closed,
	} {
		t.Run(name, func(t *testing.T) { test(&deviceSuite{t, name, open, custodian}) })
	}
}

type deviceSuite struct {
	*testing.T
	name      string
	open      func(*testing.T, string) anchor.Device
	custodian *anchor.Secret
}

func (s *deviceSuite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *deviceSuite) is(got, want error) { (&suite{T: s.T}).is(got, want) }

// with opens a device for as long as f runs; of is "" or the name of another one.
func (s *deviceSuite) with(of string, f func(anchor.Device)) {
	s.Helper()
	d := s.open(s.T, s.name+of)
	defer func() { s.must(d.Close()) }()
	f(d)
}

const label = "keepsake anchortest\x01"

func (s *deviceSuite) seal() {
	secret := bytes.Repeat([]byte("secret"), 16)
	var box []byte
	var err error
	s.with("", func(d anchor.Device) {
		box, err = d.Seal(s.Context(), label, secret)
		s.must(err)
		if bytes.Contains(box, secret[:8]) {
			s.Error("the secret is in the box")
		}
		again, err := d.Seal(s.Context(), label, secret)
		s.must(err)
		if bytes.Equal(again, box) {
			s.Error("sealed twice to the same box")
		}
		_, err = d.Open(s.Context(), label+" other", box)
		s.is(err, anchor.ErrBox)
	})
	s.with("", func(d anchor.Device) {
		got, err := d.Open(s.Context(), label, box)
		s.must(err)
		if !bytes.Equal(got, secret) {
			s.Error("opened to something else after the device was closed")
		}
		s.must(d.Found(s.Context(), at(1), keyOf(1))) // has nothing to do with boxes
		s.must(d.Rotate(s.Context(), at(2), keyOf(2)))
		_, err = d.Open(s.Context(), label, box)
		s.must(err)
	})
}

func (s *deviceSuite) sealMangled() {
	s.with("", func(d anchor.Device) {
		box, err := d.Seal(s.Context(), label, []byte("secret"))
		s.must(err)
		for at := range box {
			bad := bytes.Clone(box)
			bad[at] ^= 1
			if _, err := d.Open(s.Context(), label, bad); err == nil {
				s.Fatalf("opened with byte %d changed", at)
			}
			if _, err := d.Open(s.Context(), label, box[:at]); err == nil {
				s.Fatalf("opened %d bytes of %d", at, len(box))
			}
		}
		_, err = d.Open(s.Context(), label, append(bytes.Clone(box), 0))
		s.is(err, anchor.ErrBox)
		_, err = d.Open(s.Context(), label, box)
		s.must(err)
	})
}

func (s *deviceSuite) sealApart() {
	s.with("", func(d anchor.Device) {
		box, err := d.Seal(s.Context(), label, []byte("secret"))
		s.must(err)
		s.with(" other", func(other anchor.Device) {
			_, err := other.Open(s.Context(), label, box)
			s.is(err, anchor.ErrBox)
		})
	})
}

func (s *deviceSuite) sealLimits() {
	s.with("", func(d anchor.Device) {
		for _, n := range []int{1, anchor.MaxSealed} {
			secret := bytes.Repeat([]byte{7}, n)
			box, err := d.Seal(s.Context(), label, secret)
			s.must(err)
			got, err := d.Open(s.Context(), label, box)
			s.must(err)
			if !bytes.Equal(got, secret) {
				s.Errorf("%d bytes came back as %d", n, len(got))
			}
		}
		if _, err := d.Seal(s.Context(), label, make([]byte, anchor.MaxSealed+1)); err == nil {
			s.Error("sealed more than it may")
		}
	})
}

// agree checks that a device's key is the one that public says.
func (s *deviceSuite) agree(inside ecdh.KeyExchanger, public *ecdh.PublicKey) {
	s.Helper()
	outside, err := ecdh.P256().GenerateKey(rand.Reader)
	s.must(err)
	ours, err := inside.ECDH(outside.PublicKey())
	s.must(err)
	theirs, err := outside.ECDH(public)
	s.must(err)
	if !bytes.Equal(ours, theirs) {
		s.Error("the device computes another secret than its public key says")
	}
}

func (s *deviceSuite) exchanger() {
	var public *ecdh.PublicKey
	s.with("", func(d anchor.Device) {
		inside, err := d.Exchanger(s.Context())
		s.must(err)
		public = inside.PublicKey()
		if inside.Curve() != ecdh.P256() {
			s.Errorf("a key on %v", inside.Curve())
		}
		s.agree(inside, public)
	})
	s.with("", func(d anchor.Device) {
		inside, err := d.Exchanger(s.Context())
		s.must(err)
		if !inside.PublicKey().Equal(public) {
			s.Error("another key after the device was closed")
		}
		s.agree(inside, public)
	})
}

func (s *deviceSuite) exchangerApart() {
	s.with("", func(d anchor.Device) {
		s.with(" other", func(other anchor.Device) {
			one, err := d.Exchanger(s.Context())
			s.must(err)
			two, err := other.Exchanger(s.Context())
			s.must(err)
			if one.PublicKey().Equal(two.PublicKey()) {
				s.Error("two devices have one key")
			}
		})
	})
}

// What group secrets are sealed to (spec/replication.md §3.2).
func (s *deviceSuite) exchangerHybrid() {
	s.with("", func(d anchor.Device) {
		inside, err := d.Exchanger(s.Context())
		s.must(err)
		outside, err := mlkem.GenerateKey768()
		s.must(err)
		key, err := hpke.NewHybridPrivateKey(outside, inside)
		s.must(err)
		box, err := hpke.Seal(key.PublicKey(), hpke.HKDFSHA256(), hpke.AES256GCM(), []byte("info"), []byte("secret"))
		s.must(err)
		got, err := hpke.Open(key, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte("info"), box)
		s.must(err)
		if string(got) != "secret" {
			s.Errorf("opened to %q", got)
		}
	})
}

func (s *deviceSuite) closed() {
	d := s.open(s.T, s.name)
	box, err := d.Seal(s.Context(), label, []byte("secret"))
	s.must(err)
	_, err = d.MakeFleetKey(s.Context(), s.custodian)
	s.must(err)
	s.must(d.Close())
	s.must(d.Close())
	if _, err := d.Open(s.Context(), label, box); err == nil {
		s.Error("a closed device opens a box")
	}
	if _, err := d.FleetKey(s.Context()); err == nil {
		s.Error("a closed device gives its fleet key")
	}
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	s.with("", func(d anchor.Device) {
		_, err := d.Open(ctx, label, box)
		s.is(err, context.Canceled)
	})
}

// evaluates checks h·B for a B whose discrete logarithm the suite knows.
func (s *deviceSuite) evaluates(k anchor.FleetKey) {
	s.Helper()
	r, err := ecdh.P256().GenerateKey(rand.Reader)
	s.must(err)
	scalar := [32]byte(r.Bytes())
	blinded, err := p256.Public(&scalar)
	s.must(err)
	got, err := k.Evaluate(s.Context(), blinded)
	s.must(err)
	want, err := p256.Evaluate(&scalar, k.Public())
	s.must(err)
	if got != want {
		s.Errorf("h·B is %x, want %x", got, want)
	}
}
