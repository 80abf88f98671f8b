package vaultapi_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"

	"keepsake.example/vaultapi"
)

// A device asks for one attempt under a token that is bound to it, and the vault
// answers that it must wait. Between the two lies package sealed. The request is
// the worked example of spec/vault-protocol.md §6.
func Example() {
	fleet := [32]byte(unhex("bc118f54d4269b67fb279e5f01ffa2df6cebc61a9e9ee3350845e4370b50ffb6"))
	device := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{0xde}, 32))
	attempt := &vaultapi.AttemptBody{
		Attempt: vaultapi.ID(unhex("c0c1c2c3c4c5c6c7c8c9cacbcccdcecf")), // random in earnest
		Blinded: [32]byte(unhex("863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945")),
	}
	asked := &vaultapi.Request{Token: "eyJhbGciOiJFZERTQSJ9.e30.c2ln", Body: attempt}
	asked.Bind(fleet, device)
	request, err := asked.Encode()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d bytes: %x...\n", len(request), request[:8])

	r, err := vaultapi.DecodeRequest(request) // in the vault
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Body.Type(), r.CheckBinding(fleet))
	a := &vaultapi.Answer{Code: vaultapi.Wait, Left: 6, Limit: 10, Time: 1_800_000_000_000, Next: 1_800_000_029_000}
	answer, err := a.Encode()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d bytes: %x\n", len(answer), answer)

	got, err := vaultapi.DecodeAnswer(vaultapi.Attempt, answer) // on the device
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%v: %d of %d attempts left, the next in %d s\n", got.Code, got.Left, got.Limit, (got.Next-got.Time)/1000)
	// Output:
	// 178 bytes: 0103001d65794a68...
	// attempt <nil>
	// 20 bytes: 0101060a000001a3185c5000000001a3185cc148
	// wait: 6 of 10 attempts left, the next in 29 s
}
