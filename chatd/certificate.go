package chatd

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"sync"
	"time"
)

// Pin is the SHA-256 of a certificate's SubjectPublicKeyInfo: it names the key,
// whatever else the certificate says.
type Pin [sha256.Size]byte

// PinOf gives the pin of a certificate.
func PinOf(c *x509.Certificate) Pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// ParsePin reads 64 hexadecimal digits.
func ParsePin(s string) (p Pin, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(p) {
		return p, errors.New("chatd: a pin is 64 hexadecimal digits")
	}
	return Pin(b), nil
}

// String gives 64 hexadecimal digits.
func (p Pin) String() string { return hex.EncodeToString(p[:]) }

// MakeCertificate signs a certificate for key with key itself, for hosts, valid
// for ten years from an hour before now. It serves where the other side pins
// the key: between chatd and vaultd; and, for development, before clients that
// are given it.
func MakeCertificate(key ed25519.PrivateKey, now time.Time, hosts ...string) (tls.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, err
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "keepsake chatd"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

// CertificateFiles is a certificate and its key in two PEM files, read again
// when they change: new files count for the next connection, a second later at
// most. Files that do not fit together are not taken: while one is new and the
// other not yet, the pair before goes on. It is safe for concurrent use.
type CertificateFiles struct {
	cert, key string
	now       func() time.Time

	mu      sync.Mutex
	looked  time.Time
	seen    [2]os.FileInfo
	current *tls.Certificate
	err     error
}

// NewCertificateFiles reads the files. now is the clock, nil means time.Now.
func NewCertificateFiles(cert, key string, now func() time.Time) (*CertificateFiles, error) {
	if now == nil {
		now = time.Now
	}
	f := &CertificateFiles{cert: cert, key: key, now: now}
	f.look()
	return f, f.err
}

// Certificate gives the current certificate, for tls.Config.GetCertificate.
func (f *CertificateFiles) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.now(); now.Sub(f.looked).Abs() >= time.Second {
		f.look()
	}
	return f.current, nil
}

// Err tells why the files as they are now are not used, nil if they are.
func (f *CertificateFiles) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *CertificateFiles) look() {
	f.looked = f.now()
	var infos [2]os.FileInfo
	for i, path := range []string{f.cert, f.key} {
		info, err := os.Stat(path)
		if err != nil {
			f.err = fmt.Errorf("reading the certificate: %w", err)
			return
		}
		infos[i] = info
	}
	if f.err == nil && f.current != nil && same(infos[0], f.seen[0]) && same(infos[1], f.seen[1]) {
		return
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		f.err = fmt.Errorf("reading the certificate: %w", err)
		return
	}
	f.current, f.seen, f.err = &pair, infos, nil
}

func same(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
