package fleet_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"

	"keepsake.example/fleet"
	"keepsake.example/sealed"
)

// The vault signs a bundle; a client that has pinned the fleet's id opens it,
// compares it with the last one it saw, and takes the key to seal to.
func Example() {
	const now, day = 1_800_000_000_000, 24 * 3600 * 1000
	identity := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{0x1d}, 32)) // never leaves the vault
	id := fleet.ID(identity.Public().(ed25519.PublicKey))
	channel, err := sealed.GenerateKey(id)
	if err != nil {
		fmt.Println(err)
		return
	}
	made := &fleet.Bundle{
		Serial: 7, Issued: now, Identity: identity.Public().(ed25519.PublicKey), Policy: fleet.DefaultPolicy(),
		Keys: []fleet.ChannelKey{{NotBefore: now, NotAfter: now + 21*day, Key: channel.Public()}},
	}
	data, err := made.Sign(identity)
	if err != nil {
		fmt.Println(err)
		return
	}

	pinned, err := fleet.ParseID("bc118f54 d4269b67 fb279e5f 01ffa2df 6cebc61a 9e9ee335 0845e437 0b50ffb6") // on the device
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := fleet.Open(data, pinned)
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := b.Current(now + day)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d bytes, serial %d, %d attempts, insecure %v\n", len(data), b.Serial, b.Policy.MaxAttempts, b.Policy.Insecure)
	fmt.Println(key.ID() == channel.Public().ID())
	fmt.Println(b.Follows(8, [32]byte{}))
	// Output:
	// 1452 bytes, serial 7, 10 attempts, insecure false
	// true
	// fleet: bundle older than one seen before, or another one of the same serial
}
