package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"keepsake.example/fleet"
	"keepsake.example/vaultd"
)

// process is a vaultd of its own, with its files in a folder.
type process struct {
	cmd    *exec.Cmd
	ended  chan error // how, when it ends
	home   string
	listen string
	admin  string
	pin    vaultd.Pin
	key    fleetKey
	log    bytes.Buffer
}

// foundProcess founds a fleet with the command, as an operator does.
func foundProcess(bin, dir string, i *issuer) (*process, error) {
	jwks := filepath.Join(dir, "jwks.json")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(jwks, i.jwks, 0o600); err != nil {
		return nil, err
	}
	p := &process{listen: "127.0.0.1:7543", admin: "127.0.0.1:7544", home: filepath.Join(dir, "vaultd")}
	text, err := exec.Command(bin, "init", p.home, "--json", "--issuer", issuerName, "--audience", audience, "--jwks", jwks,
		"--listen", p.listen, "--insecure-software-anchor", "--insecure-any-relay").Output()
	if err != nil {
		return nil, fmt.Errorf("vaultd init: %w", err)
	}
	return p, errors.Join(p.readMade(text), configure(filepath.Join(p.home, "vaultd.toml"), manyClients...))
}

// serve starts the process and returns when it answers.
func (p *process) serve(bin string) error {
	p.cmd = exec.Command(bin, "serve", "--config", filepath.Join(p.home, "vaultd.toml"))
	p.cmd.Stderr = &p.log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.ended = make(chan error, 1)
	go func() { p.ended <- p.cmd.Wait() }()
	if err := p.awaitReady(); err != nil {
		p.cmd.Process.Kill()
		return fmt.Errorf("%w:\n%s", err, p.log.String())
	}
	return nil
}

// readMade takes the keys from what init printed and wrote.
func (p *process) readMade(text []byte) error {
	var made struct{ Fleet, Server_pin, Bundle string }
	if err := json.Unmarshal(text, &made); err != nil {
		return err
	}
	id, err := fleet.ParseID(made.Fleet)
	if err != nil {
		return err
	}
	bundle, err := os.ReadFile(made.Bundle)
	if err != nil {
		return err
	}
	if p.key, err = keyOf(bundle, id[:]); err != nil {
		return err
	}
	return p.readPin(text)
}

func (p *process) readPin(text []byte) (err error) {
	var made struct{ Server_pin string }
	if err := json.Unmarshal(text, &made); err != nil {
		return err
	}
	p.pin, err = vaultd.ParsePin(made.Server_pin)
	return err
}

func (p *process) awaitReady() error {
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); {
		if r, err := http.Get("http://" + p.admin + "/readyz"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-p.ended:
			return fmt.Errorf("vaultd ended: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return errors.New("vaultd does not get ready")
}

func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return <-p.ended
}

// cpuTime is the processor time of vaultd so far, to 10 ms.
func (p *process) cpuTime() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(after) // from field 3 on; utime and stime are 14 and 15 (proc(5))
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// memory is a field of /proc/PID/status, in MiB.
func (p *process) memory(field string) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			kib, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kib >> 10
		}
	}
	return 0
}

// dial opens a connection as chatd does, without its client certificate.
func (p *process) dial() (net.Conn, error) {
	c := vaultd.ClientTLS(p.pin)
	c.NextProtos = []string{"http/1.1"}
	return tls.Dial("tcp", p.listen, c)
}
