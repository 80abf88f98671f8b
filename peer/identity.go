package peer

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// protocol is what both sides must speak: the name of this protocol and its version.
const protocol = "keepsake-peer/1"

var (
	errNoIdentity = errors.New("peer: the certificate is not of an Ed25519 key")
	errStranger   = errors.New("peer: an identity key that is not in the directory")
	errOther      = errors.New("peer: the other side has another identity key than the directory says")
)

// certify wraps an identity key in the certificate that TLS wants. Nobody looks at
// anything in it but the key.
func certify(key ed25519.PrivateKey) (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "keepsake member"},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Unix(1<<32, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// configuration is what both sides of TLS have in common.
func configuration(certificate tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		Certificates:       []tls.Certificate{certificate},
		NextProtos:         []string{protocol},
		CurvePreferences:   []tls.CurveID{tls.X25519MLKEM768}, // recorded today, closed to tomorrow's quantum computers
		InsecureSkipVerify: true,                              // no CA: VerifyConnection looks at the key instead

		// A resumed session would not show the key again that may be gone from the directory.
		SessionTicketsDisabled: true,
		// Small records first make sense for web pages.
		DynamicRecordSizingDisabled: true,
	}
}

// identityOf returns the key that the other side proved to have.
func identityOf(s tls.ConnectionState) (id [32]byte, err error) {
	if len(s.PeerCertificates) == 0 {
		return id, errNoIdentity
	}
	key, ok := s.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return id, errNoIdentity
	}
	if s.NegotiatedProtocol != protocol {
		return id, errors.New("peer: the other side speaks another protocol")
	}
	return [32]byte(key), nil
}

// verifyGuest lets in whose key is in the directory at this moment, be it under any
// number: which one, the hello says.
func (l *Links) verifyGuest(s tls.ConnectionState) error {
	id, err := identityOf(s)
	if err != nil {
		return err
	}
	for _, p := range l.c.Directory() {
		if p.Identity == id && p.Number != l.c.Self {
			return nil
		}
	}
	l.guests.strangers.Add(1)
	return errStranger
}

// dialing is the configuration for dialing one member.
func (l *Links) dialing(p Peer) *tls.Config {
	c := l.client.Clone()
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if id, err := identityOf(s); err != nil || id != p.Identity {
			return errOther
		}
		return nil
	}
	return c
}
