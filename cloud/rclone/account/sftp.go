package account

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

const sftpText = `A key of its own, without a passphrase and good for SFTP alone, lets backups run at night;
an SSH agent must be running whenever they do.

`

// sftp makes sure of the server's key first: whoever is asked for a password
// before could be anybody.
func (f *flow) sftp(ctx context.Context) (err error) {
	if err := f.sftpHost(); err != nil {
		return err
	}
	if err := f.hostKey(ctx); err != nil {
		return err
	}
	switch {
	case f.KeyFile != "":
		return f.keyFile(ctx)
	case f.Agent:
		f.options["key_use_agent"] = "true"
		return f.try(ctx)
	}
	f.Tell(sftpText)
	path, err := f.Ask(ctx, "Key file (empty to type a password): ")
	if err != nil {
		return err
	}
	if path != "" {
		f.KeyFile = expandHome(path)
		return f.keyFile(ctx)
	}
	return f.tries(ctx, "Password of "+f.options["user"]+": ", f.takePassword("pass"))
}

func (f *flow) sftpHost() error {
	host, port := splitPort(f.Destination.Host)
	f.options["host"], f.options["port"] = host, port
	f.options["user"] = f.Destination.User
	if f.User != "" {
		f.options["user"] = f.User
	}
	if f.options["user"] == "" {
		u, err := user.Current()
		if err != nil {
			return fmt.Errorf("account: finding the user's name: %w", err)
		}
		f.options["user"] = u.Username
	}
	return nil
}

// splitPort divides the Host of a Destination; an address of IPv6 stands in
// brackets there.
func splitPort(host string) (name, port string) {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host, port = host[:i], host[i+1:]
	}
	if port == "" {
		port = "22"
	}
	return strings.Trim(host, "[]"), port
}

func expandHome(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return path
}

// keyFile signs in with a key file, whose passphrase is asked for if it has one.
// The file stays where it is.
func (f *flow) keyFile(ctx context.Context) error {
	path, err := filepath.Abs(f.KeyFile)
	if err != nil {
		return fmt.Errorf("account: %w", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("account: reading the key file: %w", err)
	}
	defer clear(text)
	f.options["key_file"] = path
	_, err = ssh.ParseRawPrivateKey(text)
	if _, locked := errors.AsType[*ssh.PassphraseMissingError](err); !locked {
		if err != nil {
			return fmt.Errorf("%w: %s is no private key", ErrWrongSecret, path)
		}
		return f.try(ctx)
	}
	return f.tries(ctx, "Passphrase of "+path+": ", func(secret string) error {
		if _, err := ssh.ParseRawPrivateKeyWithPassphrase(text, []byte(secret)); err != nil {
			return fmt.Errorf("%w: the passphrase", ErrWrongSecret)
		}
		return f.takePassword("key_file_pass")(secret)
	})
}
