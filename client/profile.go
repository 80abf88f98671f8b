package client

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
)

// forget removes what the profile holds. Both keys go before the configuration
// that says where they are.
func (c *Client) forget(cfg *Config) error {
	for _, s := range []slot{nextKey, currentKey} {
		if err := c.removeKey(cfg, s); err != nil {
			return err
		}
	}
	if err := c.forgetVault(); err != nil {
		return err
	}
	for _, name := range []string{"state.json", "state.lock", "schedule.json", "config.json"} {
		if err := os.Remove(c.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("emptying the profile: %w", err)
		}
	}
	if err := os.RemoveAll(c.path("cache")); err != nil {
		return fmt.Errorf("emptying the profile: %w", err)
	}
	return nil
}

// unsafe names choices that cost safety. Windows has no modes to look at.
func (c *Client) unsafe(cfg *Config) (list []string) {
	if cfg.KeyStore == InFile {
		list = append(list, "the key is in a file of the profile: whoever can read your files can read it")
	}
	if runtime.GOOS != "windows" {
		list = append(list, c.openModes(cfg)...)
	}
	if cloudFolder("", cfg.Cloud).network == nil && sameDisk(cfg.Source, cfg.Cloud) {
		list = append(list, "the backup is on the same disk as the chat folder: it does not survive the loss of that disk")
	}
	return list
}

func (c *Client) openModes(cfg *Config) (list []string) {
	if info, err := os.Stat(c.s.Profile); err == nil && info.Mode().Perm()&0o022 != 0 {
		list = append(list, "other users can write to the profile folder "+c.s.Profile)
	}
	if cfg.KeyStore != InFile {
		return list
	}
	if info, err := os.Stat(c.path(string(currentKey))); err == nil && info.Mode().Perm()&0o077 != 0 {
		list = append(list, "other users can read the key file "+c.path(string(currentKey)))
	}
	return list
}
