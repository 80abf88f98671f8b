package vaultd

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"

	"keepsake.example/anchor"
	"keepsake.example/fleet"
	"keepsake.example/sealed"
	"keepsake.example/vault"
)

// keyring holds the channel keys ready for use, and the bundle that names them.
// What is true is in the vault's state; this is the working copy.
type keyring struct {
	mu     sync.RWMutex // held for reading while a key is used: wiping waits for that
	keys   map[sealed.KeyID]channelKey
	bundle []byte
	serial uint64
	newest uint64 // not after of the key that is valid longest, ms
	// hardening is H, for the bundle; zeros for a fleet without. Set before all else.
	hardening [anchor.PointSize]byte
}

type channelKey struct {
	private  *sealed.PrivateKey
	notAfter uint64 // ms
}

// open opens a request with the key that it names. The message is the caller's.
func (k *keyring) open(request []byte, now uint64) ([]byte, *sealed.Answerer, error) {
	id, err := sealed.RequestKey(request)
	if err != nil {
		return nil, nil, ErrRequest
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	key, ok := k.keys[id]
	// An expired key is erased soon; nobody gains by the time until then.
	if !ok || now >= key.notAfter {
		return nil, nil, ErrKey
	}
	message, answerer, err := key.private.Open(request)
	if err != nil {
		return nil, nil, ErrRequest
	}
	return message, answerer, nil
}

// refresh takes over the fleet's keys as the state has them now, wipes those
// that are gone, and signs a new bundle if it has a new serial.
func (k *keyring) refresh(view *vault.FleetView) error {
	keys, public, err := k.parse(view)
	if err != nil {
		return err
	}
	bundle, serial := k.signed()
	if serial != view.Serial {
		if bundle, err = sign(view, public, k.hardening); err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, old := range k.keys {
		if _, ok := keys[id]; !ok {
			old.private.Wipe()
		}
	}
	k.keys, k.bundle, k.serial, k.newest = keys, bundle, view.Serial, 0
	for _, c := range keys {
		k.newest = max(k.newest, c.notAfter)
	}
	return nil
}

// parse makes the keys of the state, taking those that are ready already, and
// the public ones in the order of the state.
func (k *keyring) parse(view *vault.FleetView) (map[sealed.KeyID]channelKey, []fleet.ChannelKey, error) {
	keys := map[sealed.KeyID]channelKey{}
	var public []fleet.ChannelKey
	for _, c := range view.Keys {
		private, err := sealed.ParsePrivateKey(sealed.FleetID(view.ID), c.Seed[:])
		if err != nil {
			return nil, nil, fmt.Errorf("reading a channel key: %w", err)
		}
		id := private.Public().ID()
		if ready, ok := k.get(id); ok {
			private.Wipe()
			private = ready.private
		}
		keys[id] = channelKey{private, c.NotAfter}
		public = append(public, fleet.ChannelKey{NotBefore: c.NotBefore, NotAfter: c.NotAfter, Key: private.Public()})
	}
	return keys, public, nil
}

func (k *keyring) get(id sealed.KeyID) (channelKey, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	c, ok := k.keys[id]
	return c, ok
}

// signed returns the bundle and its serial.
func (k *keyring) signed() ([]byte, uint64) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.bundle, k.serial
}

// longest returns when the key that is valid longest ends, ms.
func (k *keyring) longest() uint64 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.newest
}

// wipe ends the use of all keys.
func (k *keyring) wipe() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.keys {
		c.private.Wipe()
	}
	k.keys = nil
}

// sign makes the bundle. Everything in it follows from the state, so that one
// serial never stands for two bundles, whichever replica signs and how often.
func sign(view *vault.FleetView, keys []fleet.ChannelKey, hardening [anchor.PointSize]byte) ([]byte, error) {
	identity := ed25519.NewKeyFromSeed(view.IdentitySeed[:])
	defer clear(identity)
	b := &fleet.Bundle{
		Serial: view.Serial, Issued: view.Changed, Keys: keys,
		Identity: identity.Public().(ed25519.PublicKey), Policy: fleet.Policy(view.Policy), FleetKey: hardening,
	}
	signed, err := b.Sign(identity)
	if err != nil {
		return nil, fmt.Errorf("signing the bundle: %w", err)
	}
	if _, err := fleet.Open(signed, sealed.FleetID(view.ID)); err != nil {
		return nil, errors.New("vaultd: internal error: the bundle just signed is not the fleet's")
	}
	return signed, nil
}
