package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"keepsake.example/internal/command"
	"keepsake.example/internal/durable"
	"keepsake.example/roster"
)

var keygenCommand = command.Command[app, options]{
	Name: "operator keygen", Args: "NAME", Short: "make an operator's key",
	Long: `Makes a key with which an operator signs changes of a fleet, and prints NAME=KEY,
the public half: give that to vaultd init --operator, or to vaultd operator propose
operators. The file has the key in the clear, readable by its owner alone (0600):
who copies it can sign as this operator. Keep it off the machines of the fleet, on
a disk that is encrypted, and have a quorum that no single place or person has.`,
	Example: `  vaultd operator keygen alice --out alice.key`,
	Flags: func(f *flag.FlagSet, o *options) {
		f.StringVar(&o.out, "out", "", "`FILE` to write; it must not exist (NAME.key)")
	},
	Run: (*app).keygen,
}

const (
	operatorKeyType    = "KEEPSAKE OPERATOR KEY"
	operatorKeyVersion = 1
)

var errOperatorKey = errors.New("not an operator's key")

// operatorKey is a key with the name it was made for.
type operatorKey struct {
	name string
	key  ed25519.PrivateKey
}

func (k *operatorKey) public() [32]byte { return [32]byte(k.key.Public().(ed25519.PublicKey)) }

func (k *operatorKey) wipe() { clear(k.key) }

// encode returns a file, which the caller clears.
func (k *operatorKey) encode() []byte {
	b := append([]byte{operatorKeyVersion}, k.key.Seed()...)
	defer clear(b)
	return pem.EncodeToMemory(&pem.Block{Type: operatorKeyType, Headers: map[string]string{"Name": k.name}, Bytes: b})
}

func decodeOperatorKey(file []byte) (*operatorKey, error) {
	block, rest := pem.Decode(file)
	if block == nil || block.Type != operatorKeyType || len(block.Headers) != 1 || len(bytes.TrimSpace(rest)) != 0 {
		return nil, errOperatorKey
	}
	defer clear(block.Bytes)
	if len(block.Bytes) != 1+ed25519.SeedSize || block.Bytes[0] != operatorKeyVersion {
		return nil, errOperatorKey
	}
	return &operatorKey{block.Headers["Name"], ed25519.NewKeyFromSeed(block.Bytes[1:])}, nil
}

func readOperatorKey(file string) (*operatorKey, error) {
	if file == "" {
		return nil, command.Usage("--key is missing: the file that vaultd operator keygen made", "see: vaultd help operator sign")
	}
	text, err := command.ReadFile(file, 4096)
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	defer clear(text)
	k, err := decodeOperatorKey(text)
	if err != nil {
		return nil, command.Fail(exitDamaged, file+": "+err.Error(), "vaultd operator keygen makes such files")
	}
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, command.Fail(command.Config, file+" can be read by others", "chmod 600 "+file+"; if somebody has read it, replace the key: vaultd operator propose operators")
	}
	return k, nil
}

func (a *app) keygen(_ context.Context, o *options) error {
	name, file := o.args[0], o.out
	if file == "" {
		file = name + ".key"
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	k := &operatorKey{name, private}
	defer k.wipe()
	public := k.public()
	if _, err := parseOperator(name + "=" + hex.EncodeToString(public[:])); err != nil {
		return command.Usage(err.Error(), "")
	}
	text := k.encode()
	defer clear(text)
	if err := durable.CreateExclusive(file, text, 0o600); err != nil {
		return fmt.Errorf("writing the key: %w", err)
	}
	a.Warn("the key is in the clear in " + file)
	result := map[string]string{"name": name, "public": hex.EncodeToString(public[:]), "file": file}
	return a.Emit(result, func(w io.Writer) { fmt.Fprintf(w, "%s=%s\n", name, result["public"]) })
}

// parseOperator reads NAME=KEY.
func parseOperator(text string) (o roster.Operator, err error) {
	name, public, ok := bytes.Cut([]byte(text), []byte("="))
	key, err := hex.DecodeString(string(public))
	if !ok || err != nil || len(key) != len(o.Key) {
		return o, fmt.Errorf("%q is not NAME=KEY, a public key of 64 hex digits", text)
	}
	if len(name) == 0 || len(name) > roster.MaxName || len(bytes.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.")) != 0 {
		return o, fmt.Errorf("%q is no name: 1 to %d of a-z, 0-9, dots and hyphens", name, roster.MaxName)
	}
	return roster.Operator{Name: string(name), Key: [32]byte(key)}, nil
}
