package vaultd

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// Pin is the SHA-256 of a certificate's SubjectPublicKeyInfo: chatd and vaultd
// know each other by it, so that there is no CA whose mistake would matter.
type Pin [sha256.Size]byte

// String returns 64 hexadecimal digits.
func (p Pin) String() string { return hex.EncodeToString(p[:]) }

// ParsePin reads 64 hexadecimal digits; colons and blanks between them are
// passed over, as other tools print them.
func ParsePin(text string) (Pin, error) {
	var p Pin
	b, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(text))
	if err != nil || len(b) != len(p) {
		return p, errors.New("vaultd: a pin is 64 hexadecimal digits")
	}
	return Pin(b), nil
}

// NewTLSKey makes the key of the listener, as PKCS #8. What it guards is sealed
// already: its thief can keep requests away and see when they come, like chatd.
func NewTLSKey() ([]byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a TLS key: %w", err)
	}
	return x509.MarshalPKCS8PrivateKey(key)
}

// Certificate makes the listener's certificate for a key of NewTLSKey, and the
// pin by which chatd knows it. It is made anew at each start: what is pinned is
// the key, and nobody looks at the dates.
func Certificate(pkcs8 []byte, now time.Time) (tls.Certificate, Pin, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(pkcs8)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return tls.Certificate{}, Pin{}, errors.New("vaultd: not a TLS key of vaultd (PKCS #8, Ed25519)")
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "keepsake vaultd"},
		NotBefore:    now.Add(-24 * time.Hour),
		NotAfter:     now.AddDate(10, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:     []string{"vaultd"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, Pin{}, fmt.Errorf("making a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, Pin{}, fmt.Errorf("reading the certificate just made: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, PinOf(leaf), nil
}

// PinOf returns the pin of a certificate.
func PinOf(c *x509.Certificate) Pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// ServerTLS is the configuration of the listener: TLS 1.3, and clients whose
// certificate has one of the pins. Without pins any client may connect, with or
// without certificate: that is for development, and the caller says so aloud.
func ServerTLS(certificate tls.Certificate, clients []Pin) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"}}
	if len(clients) > 0 {
		c.ClientAuth = tls.RequireAnyClientCert // TLS proves that the client has the key; whose it is, we check
		c.VerifyConnection = func(s tls.ConnectionState) error { return checkPinned(s, clients) }
	}
	return c
}

var errUnknownClient = errors.New("vaultd: a client certificate that is not on the list")

func checkPinned(s tls.ConnectionState, pins []Pin) error {
	if len(s.PeerCertificates) == 0 {
		return errUnknownClient
	}
	pin := PinOf(s.PeerCertificates[0])
	if !slices.ContainsFunc(pins, func(p Pin) bool { return subtle.ConstantTimeCompare(p[:], pin[:]) == 1 }) {
		return errUnknownClient
	}
	return nil
}

// ClientTLS is the other side of ServerTLS, for tests, benchmarks and devnet:
// it trusts the one server with the pin.
func ClientTLS(server Pin, own ...tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		Certificates:       own,
		InsecureSkipVerify: true, // no CA: VerifyConnection compares the pin instead
		VerifyConnection:   func(s tls.ConnectionState) error { return checkPinned(s, []Pin{server}) },
	}
}
