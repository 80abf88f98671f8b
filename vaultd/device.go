package vaultd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/oprf/p256"
	"keepsake.example/roster"
	"keepsake.example/vaultapi"
)

// What the device is asked for is bounded, because it is slow (a TPM evaluates some
// five times a second), and because with a vault's memory and disks in his hands
// somebody makes his guesses with it.
const (
	// deviceWorkers is how many evaluations are in the device, or in its driver's own
	// queue, at once; deviceQueue how many attempts wait for one of those places.
	deviceWorkers = 16
	deviceQueue   = 64
	// An account may ask questionLimit questions at once, by Hardens and HardenedAttempts
	// together, and then as many in an hour, one by one. It counts both, because who proves his own
	// password after each attempt has no end of them. Setting a password takes two.
	questionLimit = 10
	// askLimit is the same for all that the device is asked, repetitions too: they tell nothing new,
	// but take its time.
	askLimit = 60
)

var errOften = errors.New("vaultd: the account asks the device too often")

// device is the fleet's key in this machine's hardware, and what is in front of it. It is a door.Evaluator.
type device struct {
	key       anchor.FleetKey
	clock     Clock
	gate      *gate         // of requests that will ask
	working   chan struct{} // of evaluations; one that its request gave up has a place until it ends
	questions *rations
	asks      *rations
	metrics   *metrics
	log       func(failing error) // when it begins and ceases to fail
	failing   atomic.Bool
}

func (s *Server) newDevice(key anchor.FleetKey) *device {
	return &device{
		key: key, clock: s.clock, metrics: s.metrics, log: s.tellDevice,
		gate:      &gate{slots: make(chan struct{}, deviceWorkers), queue: deviceQueue, wait: s.limits.QueueWait},
		working:   make(chan struct{}, deviceWorkers),
		questions: newRations(questionLimit), asks: newRations(askLimit),
	}
}

// openDevice takes the fleet's key into use, where there is one, after it has answered
// rightly, and makes the quantum long enough for it.
func (s *Server) openDevice(ctx context.Context, r *roster.Roster) error {
	if !r.Hardened() {
		return nil
	}
	if err := checkFleetKey(ctx, s.config.Device, r); err != nil {
		return err
	}
	key, err := s.config.Device.FleetKey(ctx)
	if err != nil {
		return fmt.Errorf("opening the fleet's key in the device: %w", err)
	}
	slowest, err := s.tryKey(ctx, key)
	if err != nil {
		return err
	}
	s.keys.hardening = key.Public()
	s.device = s.newDevice(key)
	s.door.Device = s.device
	if q := quantumFor(s.limits.Quantum, slowest); q != s.limits.Quantum {
		s.log.Info("answers take longer, so that the device's work is not seen", "quantum", q, "device", slowest)
		s.limits.Quantum = q
	}
	return nil
}

// tryKey asks the device what is known beforehand, h·(r·G) = r·H, and returns how long
// the slowest answer took. With a device that errs, every password would be wrong.
func (s *Server) tryKey(ctx context.Context, key anchor.FleetKey) (slowest time.Duration, err error) {
	for range 3 {
		question, want, err := known(rand.Reader, key.Public())
		if err != nil {
			return 0, err
		}
		began := s.clock.Elapsed()
		got, err := key.Evaluate(ctx, question)
		if err != nil {
			return 0, fmt.Errorf("trying the fleet's key in the device: %w", err)
		}
		if got != want {
			return 0, errErrs
		}
		slowest = max(slowest, s.clock.Elapsed()-began)
	}
	return slowest, nil
}

// known makes a question r·G to which the answer r·H is known.
func known(random io.Reader, public [anchor.PointSize]byte) (question, answer [anchor.PointSize]byte, err error) {
	var r [32]byte
	defer clear(r[:])
	if _, err := io.ReadFull(random, r[1:]); err != nil { // under the order of the group
		return question, answer, fmt.Errorf("drawing a question to the device: %w", err)
	}
	if question, err = p256.Public(&r); err != nil {
		return question, answer, fmt.Errorf("making a question to the device: %w", err)
	}
	if answer, err = p256.Evaluate(&r, public); err != nil {
		return question, answer, fmt.Errorf("reading the fleet's key: %w", err)
	}
	return question, answer, nil
}

// quantumFor is the smallest multiple of the quantum that has room for an evaluation of
// twice the time that the slowest took, and for half a quantum besides. Zero stays
// zero; over a second it does not go.
func quantumFor(quantum, slowest time.Duration) time.Duration {
	if quantum == 0 {
		return 0
	}
	n := (quantum/2 + 2*slowest + quantum - 1) / quantum
	return max(quantum, min(n*quantum, time.Second))
}

// admit takes a place for a request that will ask the device, before anything is spent on
// it. Who got one calls leave.
func (d *device) admit(ctx context.Context, account vaultapi.Account, question [anchor.PointSize]byte) error {
	now := d.clock.Elapsed()
	if !d.asks.take(account, now) || !d.questions.takeFor(account, question[:], now) {
		return errOften
	}
	return d.gate.enter(ctx)
}

func (d *device) leave() { d.gate.leave() }

var errErrs = errors.New("vaultd: the device does not evaluate under the fleet's key: it is broken, or another one")

// ready tries a device that failed last, before an attempt is spent on it: while it is gone,
// every other password that a person types would cost one, and the last of them the record.
func (d *device) ready(ctx context.Context) error {
	if !d.failing.Load() {
		return nil
	}
	question, want, err := known(rand.Reader, d.key.Public())
	if err != nil {
		return err
	}
	got, err := d.Evaluate(ctx, question)
	if err == nil && got != want {
		return errErrs
	}
	return err
}

// Evaluate asks the device, for as long as ctx allows.
func (d *device) Evaluate(ctx context.Context, blinded [anchor.PointSize]byte) (evaluated [anchor.PointSize]byte, err error) {
	began := d.clock.Elapsed()
	defer func() { d.note(err, d.clock.Elapsed()-began) }()
	select {
	case d.working <- struct{}{}:
	case <-ctx.Done():
		return evaluated, fmt.Errorf("waiting for the device: %w", ctx.Err())
	}
	type answer struct {
		point [anchor.PointSize]byte
		err   error
	}
	answered := make(chan answer, 1)
	go func() { // a driver that hangs takes a place of the device with it, and not the request
		defer func() { <-d.working }()
		point, err := d.key.Evaluate(ctx, blinded)
		answered <- answer{point, err}
	}()
	select {
	case a := <-answered:
		return a.point, a.err
	case <-ctx.Done():
		return evaluated, fmt.Errorf("waiting for the device's answer: %w", ctx.Err())
	}
}

// note counts an evaluation, and tells when the device begins or ceases to fail. Who gave
// up by himself says nothing about the device.
func (d *device) note(err error, took time.Duration) {
	switch {
	case err == nil:
		d.metrics.device.Observe(took.Seconds())
		if d.failing.Swap(false) {
			d.log(nil)
		}
	case !errors.Is(err, context.Canceled):
		d.metrics.deviceFailed.Inc()
		if !d.failing.Swap(true) {
			d.log(err)
		}
	}
}

// tellDevice tells the operator: clients are only told that the vault is busy.
func (s *Server) tellDevice(failing error) {
	if failing != nil {
		s.log.Error("the device does not evaluate: attempts are answered busy", "error", failing)
		return
	}
	s.log.Info("the device evaluates again")
}

// rationBuckets is how many buckets of rations there are: a MiB. Of as many accounts as
// that in one hour, six in ten share theirs with another.
const rationBuckets = 1 << 16

// rations bound how often an account has something: so many times at once, and as many more
// in each hour, one by one. The memory is fixed: accounts share buckets, and which
// ones do nobody can tell who does not know the seed, so that nobody uses up another's.
type rations struct {
	mu    sync.Mutex
	seed  maphash.Seed
	every time.Duration
	all   [rationBuckets]bucket
}

type bucket struct {
	full time.Duration // when all its rations are there again
	last uint64        // what one was last taken for
}

func newRations(inAnHour int) *rations {
	return &rations{seed: maphash.MakeSeed(), every: time.Hour / time.Duration(inAnHour)}
}

// take takes one at a time that never goes back, and reports whether there was one.
func (r *rations) take(account vaultapi.Account, now time.Duration) bool {
	return r.takeFor(account, nil, now)
}

// takeFor takes one for something. What one was last taken for, unless nil, takes no other.
func (r *rations) takeFor(account vaultapi.Account, what []byte, now time.Duration) bool {
	b := &r.all[maphash.Bytes(r.seed, account[:])%rationBuckets]
	taken := maphash.Bytes(r.seed, append(account[:], what...))
	r.mu.Lock()
	defer r.mu.Unlock()
	if what != nil && b.last == taken {
		return true
	}
	full := max(b.full, now) + r.every
	if full > now+time.Hour {
		return false
	}
	b.full, b.last = full, taken
	return true
}
