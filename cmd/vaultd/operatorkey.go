package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"keepsake.example/anchor"
	"keepsake.example/anchor/pkcs11"
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
a disk that is encrypted, and have a quorum that no single place or person has.

With --pkcs11 the key is made on a token and never leaves it, and there is no file.
The URI (RFC 7512) names token, object and module-path; give it to --key where that
wants a FILE. The PIN is asked for, or is in the file that pin-source names.`,
	Example: `  vaultd operator keygen alice --out alice.key
  vaultd operator keygen alice --pkcs11 'pkcs11:token=T;object=alice?module-path=/p11.so'`,
	Flags: func(f *flag.FlagSet, o *options) {
		f.StringVar(&o.out, "out", "", "`FILE` to write; it must not exist (NAME.key)")
		f.StringVar(&o.token, "pkcs11", "", "`URI` of a key to make on a token, in place of a file")
	},
	Run: (*app).keygen,
}

const (
	operatorKeyType    = "KEEPSAKE OPERATOR KEY"
	operatorKeyVersion = 1
)

var errOperatorKey = errors.New("not an operator's key")

// operatorKey is a key, from a file or on a token, with the name it was made for.
type operatorKey struct {
	name string
	key  crypto.Signer // Ed25519
}

func (k *operatorKey) public() [32]byte { return [32]byte(k.key.Public().(ed25519.PublicKey)) }

// wipe overwrites a key of a file, and leaves a token.
func (k *operatorKey) wipe() {
	switch key := k.key.(type) {
	case ed25519.PrivateKey:
		clear(key)
	case pkcs11.Signer:
		key.Close()
	}
}

// encode returns a file with a key that is not on a token, which the caller clears.
func (k *operatorKey) encode() []byte {
	b := append([]byte{operatorKeyVersion}, k.key.(ed25519.PrivateKey).Seed()...)
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

const tokenScheme = "pkcs11:"

// operatorKey opens the key that --key names: a file, or the URI of one on a token.
func (a *app) operatorKey(ctx context.Context, file string) (*operatorKey, error) {
	if strings.HasPrefix(file, tokenScheme) {
		return a.tokenKey(ctx, file, pkcs11.OpenSigner)
	}
	return readOperatorKey(file)
}

// tokenKey opens or makes a key on a token.
func (a *app) tokenKey(ctx context.Context, uri string, open func(context.Context, *pkcs11.URI, *anchor.Secret) (pkcs11.Signer, error)) (*operatorKey, error) {
	u, err := pkcs11.ParseURI(uri)
	if err != nil {
		return nil, command.Usage(err.Error(), "such as: 'pkcs11:token=operators;object=alice?module-path=/usr/lib/softhsm/libsofthsm2.so'")
	}
	var pin *anchor.Secret
	if u.PINSource == "" {
		if pin, err = a.secret("the PIN of the token "+u.Token, "", false); err != nil {
			return nil, err
		}
		defer pin.Wipe()
	}
	s, err := open(ctx, u, pin)
	if err != nil {
		return nil, err
	}
	return &operatorKey{u.Object, s}, nil
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
		return nil, command.Fail(exitFile, file+": "+err.Error(), "vaultd operator keygen makes such files")
	}
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, command.Fail(command.Config, file+" can be read by others", "chmod 600 "+file+"; if somebody has read it, replace the key: vaultd operator propose operators")
	}
	return k, nil
}

func (a *app) keygen(ctx context.Context, o *options) error {
	name := o.args[0]
	if _, err := parseOperator(name + "=" + strings.Repeat("00", ed25519.PublicKeySize)); err != nil {
		return command.Usage(err.Error(), "see: vaultd help operator keygen")
	}
	if o.token != "" {
		k, err := a.tokenKey(ctx, o.token, pkcs11.MakeSigner)
		if err != nil {
			return err
		}
		defer k.wipe()
		return a.madeKey(name, "token", o.token, k)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	k := &operatorKey{name, private}
	defer k.wipe()
	text := k.encode()
	defer clear(text)
	file := o.out
	if file == "" {
		file = name + ".key"
	}
	if err := durable.CreateExclusive(file, text, 0o600); err != nil {
		return fmt.Errorf("writing the key: %w", err)
	}
	a.Warn("the key is in the clear in " + file)
	return a.madeKey(name, "file", file, k)
}

// madeKey prints the public half of a key that was made, and where it is.
func (a *app) madeKey(name, where, place string, k *operatorKey) error {
	public := k.public()
	result := map[string]string{"name": name, "public": hex.EncodeToString(public[:]), where: place}
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
