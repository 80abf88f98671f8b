package account

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"keepsake.example/cloud"
)

// hostKey asks the server for its key and compares it with what the person's
// known_hosts has. A key that is unknown is asked for; one that is another than
// that known is refused, whatever the person says. The key is kept with the
// account: from then on it alone is accepted.
func (f *flow) hostKey(ctx context.Context) error {
	address := net.JoinHostPort(f.options["host"], f.options["port"])
	known, want, err := f.knownHosts(address)
	if err != nil {
		return err
	}
	shown, remote, err := offeredKey(ctx, address, want)
	if err != nil {
		return err
	}
	fingerprint := ssh.FingerprintSHA256(shown)
	err = known(address, remote, shown)
	unknown := isUnknown(err)
	switch {
	case f.HostKey != "" && f.HostKey != fingerprint, err != nil && !unknown:
		return fmt.Errorf("%w: it shows %s", ErrHostKey, fingerprint)
	case unknown && f.HostKey == "":
		if err := f.acceptKey(ctx, address, shown.Type(), fingerprint); err != nil {
			return err
		}
	}
	if _, ok := shown.(*ssh.Certificate); ok {
		return f.hostCertificate(unknown)
	}
	f.options["host_keys"] = shown.Type() + " " + base64.StdEncoding.EncodeToString(shown.Marshal())
	return nil
}

// hostCertificate keeps the file that names its authority: rclone cannot pin a
// certificate.
func (f *flow) hostCertificate(unknown bool) error {
	if unknown {
		return fmt.Errorf("%w: it shows a certificate, and known_hosts names no authority for it", ErrHostKey)
	}
	path, err := filepath.Abs(f.knownHostsPath()) // backups run elsewhere
	if err != nil {
		return fmt.Errorf("account: %w", err)
	}
	f.options["known_hosts_file"] = path
	return nil
}

func (f *flow) acceptKey(ctx context.Context, address, kind, fingerprint string) error {
	f.Tell(fmt.Sprintf("This device has never met %s. It shows the key\n\n  %s (%s)\n\nCompare it with what the server's owner says, or with what this prints on the server:\n  ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub\n\n", address, fingerprint, kind))
	yes, err := f.Confirm(ctx, "Is it the same?")
	if err == nil && !yes {
		err = ErrUnanswered
	}
	return err
}

func (f *flow) knownHostsPath() string {
	if f.KnownHosts != "" {
		return f.KnownHosts
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".ssh", "known_hosts")
}

// knownHosts gives the check of known_hosts, and the kinds of keys it has of the
// host: a server has several, and would show another one first.
func (f *flow) knownHosts(address string) (ssh.HostKeyCallback, []string, error) {
	path := f.knownHostsPath()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		none := func(string, net.Addr, ssh.PublicKey) error { return &knownhosts.KeyError{} }
		return none, nil, nil
	}
	known, err := knownhosts.New(path)
	if err != nil {
		return nil, nil, fmt.Errorf("account: reading known_hosts: %w", err)
	}
	var want []string
	err = known(address, &net.TCPAddr{IP: net.IPv4zero}, noKey{})
	if e, ok := errors.AsType[*knownhosts.KeyError](err); ok {
		for _, k := range e.Want {
			want = append(want, algorithms(k.Key.Type())...)
		}
	}
	return known, want, nil
}

// algorithms are the signatures a kind of key is used with.
func algorithms(kind string) []string {
	if kind == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{kind}
}

// noKey equals no key: known_hosts, asked for it, says which ones it has.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return nil }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("account: no key") }

func isUnknown(err error) bool {
	e, ok := errors.AsType[*knownhosts.KeyError](err)
	return ok && len(e.Want) == 0
}

// errSeen ends a connection of which only the key was wanted. No one has signed
// in by then: SSH proves the server's key first (RFC 4253 section 8).
var errSeen = errors.New("account: seen")

// offeredKey gives the key that the server proves to have.
func offeredKey(ctx context.Context, address string, want []string) (key ssh.PublicKey, remote net.Addr, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", cloud.ErrUnreachable, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	config := &ssh.ClientConfig{
		User:              "keepsake",
		HostKeyAlgorithms: want,
		HostKeyCallback: func(_ string, addr net.Addr, k ssh.PublicKey) error {
			key, remote = k, addr
			return errSeen
		},
	}
	_, _, _, err = ssh.NewClientConn(conn, address, config)
	if key == nil {
		return nil, nil, fmt.Errorf("%w: asking for its host key: %w", cloud.ErrUnreachable, err)
	}
	return key, remote, nil
}
