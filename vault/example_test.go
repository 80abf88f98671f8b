package vault_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"keepsake.example/oprf"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// A record's life with two attempts: registered, tried, proved, tried twice in
// vain, destroyed.
func Example() {
	state, now := vault.New(), uint64(1_800_000_000_000)
	apply := func(c *vault.Command) *vault.Effect {
		c.Time = now
		e, err := state.Apply(c) // after the commit of c.Encode()
		if err != nil {
			fmt.Println("the replica halts:", err)
		}
		return e
	}
	var seed, naming, k vault.Seed
	rand.Read(seed[:])
	rand.Read(naming[:])
	identity := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
	fleet := sha256.Sum256(append([]byte("keepsake fleet id\x01"), identity...))
	apply(&vault.Command{Kind: vault.Genesis, Fleet: fleet, IdentitySeed: seed, NamingKey: naming, Policy: vault.Policy{
		MaxAttempts: 2, Waits: []uint64{30_000}, CoolDown: 7 * 86_400_000, Grace: 3_600_000, Insecure: true,
	}})

	account, _ := vaultapi.NewAccount("https://id.example", "alice")
	ask := func(body vaultapi.Body) vaultapi.Answer {
		e := apply(&vault.Command{Kind: vault.Request, Account: account, Body: body})
		if e.Evaluate != nil { // the shell evaluates only what Apply has counted
			z, proof, _ := e.Evaluate.Key.Evaluate(rand.Reader, e.Evaluate.Blinded)
			e.Answer.Body.(*vaultapi.Evaluation).Evaluated = z.Bytes()
			e.Answer.Body.(*vaultapi.Evaluation).Proof = proof.Bytes()
			e.Evaluate.Key.Wipe()
		}
		fmt.Printf("%v: %v, %d of %d left\n", body.Type(), e.Answer.Code, e.Answer.Left, e.Answer.Limit)
		return e.Answer
	}
	key, _ := oprf.GenerateKey(rand.Reader)
	key.Use(func(b *[32]byte) { k = *b })
	unlock := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)) // follows from the password
	record := vaultapi.ID{1}
	ask(&vaultapi.ProposeBody{
		Record: record, Limit: 2, Key: vaultapi.NewSecret((*[32]byte)(&k)),
		Unlock: [32]byte(unlock.Public().(ed25519.PublicKey)), Device: [32]byte{2}, Envelope: []byte("C"),
	})
	ask(&vaultapi.ConfirmBody{Record: record})

	try := func(n byte) vaultapi.ID {
		question, _ := oprf.Blind(rand.Reader, []byte("a password"))
		b := &vaultapi.AttemptBody{Attempt: vaultapi.ID{n}, Blinded: question.Blinded().Bytes()}
		a := ask(b)
		if a.Code == vaultapi.OK && n == 1 {
			message := vaultapi.ProveMessage(fleet, account, record, b.Attempt, b.Blinded, [32]byte{})
			ask(&vaultapi.ProveBody{Attempt: b.Attempt, Signature: [64]byte(ed25519.Sign(unlock, message))})
		}
		return b.Attempt
	}
	for n := range byte(5) {
		try(n + 1)
		now += 20_000
	}
	// Output:
	// propose: ok, 0 of 0 left
	// confirm: ok, 2 of 2 left
	// attempt: ok, 1 of 2 left
	// prove: ok, 2 of 2 left
	// attempt: ok, 1 of 2 left
	// attempt: wait, 1 of 2 left
	// attempt: ok, 0 of 2 left
	// attempt: destroyed, 0 of 2 left
}
