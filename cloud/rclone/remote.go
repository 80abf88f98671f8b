package rclone

import (
	"errors"
	"fmt"
	"sync"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/config"
	"github.com/rclone/rclone/fs/config/configfile"

	"keepsake.example/cloud"
)

// ConfigFile says where rclone's own configuration file is, in place of where rclone looks. It
// is for the start of a program.
func ConfigFile(path string) error {
	if err := config.SetConfigPath(path); err != nil {
		return fmt.Errorf("cloud/rclone: choosing rclone's configuration: %w", err)
	}
	return nil
}

// FromRemote is the Config of a remote by its name in rclone's own
// configuration file (ConfigFile, or where rclone looks): what "name:path"
// means to rclone. A token that is refreshed is written back there, as rclone
// does. It is cloud.ErrNotExist when there is no remote of this name, and
// asks for no password: an encrypted file needs RCLONE_CONFIG_PASS.
func FromRemote(name, path string) (Config, error) {
	c, err := fromRemote(name, path)
	if err != nil {
		return Config{}, fmt.Errorf("cloud/rclone: reading rclone's configuration: %w", err)
	}
	return c, nil
}

func fromRemote(name, path string) (Config, error) {
	if err := configure(Network{}); err != nil {
		return Config{}, err
	}
	m := &remote{file: &configfile.Storage{}, name: name}
	err := m.file.Load()
	if errors.Is(err, config.ErrorConfigFileNotFound) || err == nil && !m.file.HasSection(name) {
		return Config{}, fmt.Errorf("%w: there is no remote %q", cloud.ErrNotExist, name)
	}
	if err != nil {
		return Config{}, err
	}
	backend, _ := m.Get("type")
	if _, ok := kinds[backend]; !ok {
		return Config{}, fmt.Errorf("remote %q is of the kind %q, which is not one of those that are built in", name, backend)
	}
	return Config{Backend: backend, Root: path, Mapper: m, Login: name + ":"}, nil
}

// A remote is a section of rclone.conf. It is a configmap.Mapper.
type remote struct {
	mu   sync.Mutex
	file *configfile.Storage
	name string
}

// Get is configmap.Getter.Get. An option that is empty is one not set.
func (r *remote) Get(key string) (string, bool) {
	value, ok := r.file.GetValue(r.name, key)
	return value, ok && value != ""
}

// Set is configmap.Setter.Set.
func (r *remote) Set(key, value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.file.SetValue(r.name, key, value)
	if err := r.file.Save(); err != nil {
		// rclone has no way to be told. The old token is good for as long as
		// the provider takes it.
		fs.Errorf(nil, "saving %s of remote %s: %v", key, r.name, err)
	}
}
