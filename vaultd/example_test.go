package vaultd_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"keepsake.example/anchor/software"
	"keepsake.example/fleet"
	"keepsake.example/token"
	"keepsake.example/vaultd"
)

// A fleet is founded, served and closed: what cmd/vaultd does with files, and
// devnet in one process.
func Example() {
	dir := must(os.MkdirTemp("", "vault"))
	defer os.RemoveAll(dir)
	ctx := context.Background()
	anchor := must(software.Open(filepath.Join(dir, "anchor")))
	defer anchor.Close()

	policy := fleet.DefaultPolicy()
	policy.Insecure = true // the software anchor protects nothing, and clients are told
	id, bundle, err := vaultd.Found(ctx, vaultd.Founding{Dir: filepath.Join(dir, "state"), Anchor: anchor, Policy: policy})
	if err != nil {
		fmt.Println(err)
		return
	}
	keys := must(token.Static(must(newSigner().JWKS())))
	tokens := must(token.NewVerifier(token.Issuer{Name: issuerName, Audience: audience, Algorithms: []string{token.EdDSA}, Keys: keys}))
	server, err := vaultd.New(ctx, vaultd.Config{
		Dir: filepath.Join(dir, "state"), Anchor: anchor, Tokens: tokens, Limits: vaultd.DefaultLimits(), AcceptInsecureAnchor: true,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()

	fmt.Println("the fleet is the founded one:", server.Fleet() == id)
	fmt.Println("so is the bundle:", string(server.Bundle()) == string(bundle))
	_, err = server.Answer(ctx, make([]byte, 8192))
	fmt.Println(err)
	// Output:
	// the fleet is the founded one: true
	// so is the bundle: true
	// vaultd: not a request that opens
}
