package anchortest

import (
	"bytes"
	"errors"
	"sync"

	"keepsake.example/anchor"
	"keepsake.example/oprf/p256"
)

func (s *deviceSuite) lacks(d anchor.Device) {
	s.Helper()
	_, err := d.FleetKey(s.Context())
	s.is(err, anchor.ErrNoFleetKey)
}

// key returns the fleet key, after it was used.
func (s *deviceSuite) key(d anchor.Device, public [anchor.PointSize]byte) anchor.FleetKey {
	s.Helper()
	k, err := d.FleetKey(s.Context())
	s.must(err)
	if k.Public() != public {
		s.Errorf("the key's public half is %x, want %x", k.Public(), public)
	}
	s.evaluates(k)
	return k
}

func (s *deviceSuite) make(d anchor.Device) [anchor.PointSize]byte {
	s.Helper()
	public, err := d.MakeFleetKey(s.Context(), s.custodian)
	s.must(err)
	return public
}

func (s *deviceSuite) noFleetKey() {
	s.with("", func(d anchor.Device) {
		s.lacks(d)
		s.with(" other", func(other anchor.Device) {
			request, err := other.FleetKeyRequest(s.Context())
			s.must(err)
			_, err = d.WrapFleetKey(s.Context(), s.custodian, request)
			s.is(err, anchor.ErrNoFleetKey)
		})
	})
}

func (s *deviceSuite) makeFleetKey() {
	var public [anchor.PointSize]byte
	s.with("", func(d anchor.Device) {
		public = s.make(d)
		s.key(d, public)
		_, err := d.MakeFleetKey(s.Context(), s.custodian)
		s.is(err, anchor.ErrHasFleetKey)
		s.key(d, public)
		s.with(" other", func(other anchor.Device) {
			if s.make(other) == public {
				s.Error("two devices made one key")
			}
		})
	})
	s.with("", func(d anchor.Device) { s.key(d, public) })
}

// Many at a time: a device does them one by one, and mixes none up.
func (s *deviceSuite) evaluate() {
	s.with("", func(d anchor.Device) {
		k := s.key(d, s.make(d))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 3 {
					s.evaluates(k)
				}
			})
		}
		wg.Wait()
	})
}

// Points at which formulas for adding points fail.
func (s *deviceSuite) evaluateBase() {
	s.with("", func(d anchor.Device) {
		k := s.key(d, s.make(d))
		for _, n := range []byte{1, 2, 3} {
			b, err := p256.Public(&[32]byte{31: n})
			s.must(err)
			want, err := p256.Evaluate(&[32]byte{31: n}, k.Public())
			s.must(err)
			for range 2 { // b, then -b
				got, err := k.Evaluate(s.Context(), b)
				s.must(err)
				if got != want {
					s.Errorf("h·B is %x, want %x, for B = ±%d·G", got, want, n)
				}
				b[0] ^= 1
				want[0] ^= 1
			}
		}
	})
}

func (s *deviceSuite) noPoint() {
	s.with("", func(d anchor.Device) {
		k := s.key(d, s.make(d))
		good := k.Public()
		for name, spoil := range map[string]func(*[anchor.PointSize]byte){
			"zeros":        func(p *[anchor.PointSize]byte) { clear(p[:]) },
			"another form": func(p *[anchor.PointSize]byte) { p[0] = 4 },
			"x too large":  func(p *[anchor.PointSize]byte) { copy(p[1:], bytes.Repeat([]byte{0xff}, 32)) },
			"x of no point": func(p *[anchor.PointSize]byte) {
				for p256.Check(*p) == nil {
					p[32]++
				}
			},
		} {
			p := good
			spoil(&p)
			if _, err := k.Evaluate(s.Context(), p); !errors.Is(err, anchor.ErrPoint) {
				s.Errorf("%s: %v", name, err)
			}
		}
		s.evaluates(k)
	})
}

func (s *deviceSuite) copyFleetKey() {
	var public [anchor.PointSize]byte
	s.with("", func(d anchor.Device) {
		public = s.make(d)
		var request []byte
		s.with(" other", func(other anchor.Device) {
			var err error
			request, err = other.FleetKeyRequest(s.Context())
			s.must(err)
			again, err := other.FleetKeyRequest(s.Context())
			s.must(err)
			if !bytes.Equal(again, request) {
				s.Error("two requests of one device differ: people compare their digest")
			}
		})
		wrapped, err := d.WrapFleetKey(s.Context(), s.custodian, request)
		s.must(err)
		s.with(" other", func(other anchor.Device) { // closed in between, as people take their time
			got, err := other.InstallFleetKey(s.Context(), wrapped)
			s.must(err)
			if got != public {
				s.Errorf("installed %x, want %x", got, public)
			}
			s.key(other, public)
			_, err = other.InstallFleetKey(s.Context(), wrapped)
			s.is(err, anchor.ErrHasFleetKey)
			_, err = other.MakeFleetKey(s.Context(), s.custodian)
			s.is(err, anchor.ErrHasFleetKey)
		})
	})
	s.with(" other", func(other anchor.Device) { s.key(other, public) })
}

// A wrapped key is for one device, and the one that has a key takes no other.
func (s *deviceSuite) copyRefused() {
	s.with("", func(d anchor.Device) {
		public := s.make(d)
		s.with(" other", func(other anchor.Device) {
			request, err := other.FleetKeyRequest(s.Context())
			s.must(err)
			wrapped, err := d.WrapFleetKey(s.Context(), s.custodian, request)
			s.must(err)
			s.with(" third", func(third anchor.Device) {
				if _, err := third.InstallFleetKey(s.Context(), wrapped); err == nil {
					s.Error("a key that was wrapped to another device was installed")
				}
				s.lacks(third)
			})
			own := s.make(other)
			_, err = other.InstallFleetKey(s.Context(), wrapped)
			s.is(err, anchor.ErrHasFleetKey)
			s.key(other, own)
		})
		s.key(d, public)
	})
}

func (s *deviceSuite) copyMangled() {
	s.with("", func(d anchor.Device) {
		public := s.make(d)
		s.with(" other", func(other anchor.Device) {
			request, err := other.FleetKeyRequest(s.Context())
			s.must(err)
			wrapped, err := d.WrapFleetKey(s.Context(), s.custodian, request)
			s.must(err)
			refused := func(what string, at int, bad []byte) {
				if _, err := other.InstallFleetKey(s.Context(), bad); err == nil {
					s.Fatalf("installed what was %s at byte %d of %d", what, at, len(wrapped))
				}
			}
			for at := 0; at < len(wrapped); at += 1 + len(wrapped)/64 {
				bad := bytes.Clone(wrapped)
				bad[at] ^= 1
				refused("changed", at, bad)
				refused("cut", at, wrapped[:at])
			}
			refused("continued", len(wrapped), append(bytes.Clone(wrapped), 0))
			s.lacks(other)
			_, err = other.InstallFleetKey(s.Context(), wrapped)
			s.must(err)
			s.key(other, public)
		})
	})
}

func (s *deviceSuite) requestMangled() {
	s.with("", func(d anchor.Device) {
		s.make(d)
		s.with(" other", func(other anchor.Device) {
			request, err := other.FleetKeyRequest(s.Context())
			s.must(err)
			for _, bad := range [][]byte{nil, request[:1], request[:len(request)-1], append(bytes.Clone(request), 0)} {
				if _, err := d.WrapFleetKey(s.Context(), s.custodian, bad); err == nil {
					s.Errorf("wrapped to a request of %d bytes, of %d", len(bad), len(request))
				}
			}
		})
	})
}

// Without the custodian's secret no key is made and none is copied.
func (s *deviceSuite) wrongCustodian() {
	wrong, err := anchor.NewSecret([]byte("not-the-custodian"))
	s.must(err)
	s.with("", func(d anchor.Device) {
		_, err := d.MakeFleetKey(s.Context(), wrong)
		s.is(err, anchor.ErrCustodian)
		s.lacks(d)
		public := s.make(d)
		s.with(" other", func(other anchor.Device) {
			request, err := other.FleetKeyRequest(s.Context())
			s.must(err)
			_, err = d.WrapFleetKey(s.Context(), wrong, request)
			s.is(err, anchor.ErrCustodian)
			_, err = d.WrapFleetKey(s.Context(), s.custodian, request) // the right one still does
			s.must(err)
		})
		s.key(d, public)
	})
}
