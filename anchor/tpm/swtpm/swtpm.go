// Package swtpm runs a TPM in software: the program swtpm, one process for a chip. It
// is for tests, rehearsals and demonstrations: whoever can read its folder has every
// secret in it, and whoever copies the folder has copied the chip.
package swtpm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	program    = "swtpm"
	maxSocket  = 100 // bytes of a socket's path; the system's limit is 104 to 108
	startLimit = 20 * time.Second
)

// Installed reports whether the program swtpm is there.
func Installed() bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// Chip is a running chip. Not safe for concurrent use.
type Chip struct {
	path    string
	own     string // folder of the socket, to be removed; or empty
	command *exec.Cmd
	exited  chan struct{}
	said    bytes.Buffer // its complaints
}

// Start starts a chip whose memory is in the folder dir: a new chip if the folder is
// empty. The folder must exist. It listens at dir/socket, or, where that is too long
// a name for a socket, in a temporary folder that Stop and Kill remove.
func Start(dir string) (*Chip, error) {
	c := &Chip{path: filepath.Join(dir, "socket")}
	if len(c.path) > maxSocket {
		own, err := os.MkdirTemp("", program)
		if err != nil {
			return nil, fmt.Errorf("swtpm: making a folder for the socket: %w", err)
		}
		c.own, c.path = own, filepath.Join(own, "socket")
	}
	// What a killed one left there would be taken for the new one's.
	if err := os.Remove(c.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("swtpm: removing an old socket: %w", err)
	}
	c.command = exec.Command(program, "socket", "--tpm2", "--tpmstate", "dir="+dir+",mode=0600",
		"--server", "type=unixio,path="+c.path+",mode=0600", "--flags", "not-need-init,startup-clear")
	c.command.Stdout, c.command.Stderr = &c.said, &c.said
	if err := c.command.Start(); err != nil {
		c.clean()
		return nil, fmt.Errorf("swtpm: starting %s: %w", program, err)
	}
	c.exited = make(chan struct{})
	go func() {
		_ = c.command.Wait() // says how it ended, which is by a kill
		close(c.exited)
	}()
	if err := c.wait(); err != nil {
		err = errors.Join(err, c.Kill())
		return nil, fmt.Errorf("swtpm: starting a chip in %s: %w: %s", dir, err, bytes.TrimSpace(c.said.Bytes()))
	}
	return c, nil
}

// Path is the socket's, for tpm.Options.
func (c *Chip) Path() string { return c.path }

// wait waits until the chip answers.
func (c *Chip) wait() error {
	for end := time.Now().Add(startLimit); ; {
		err := c.send(getRandom)
		if err == nil || time.Now().After(end) {
			return err
		}
		select {
		case <-c.exited:
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

const (
	getRandom = 0x17b // TPM 2.0 part 2, 6.5.2
	shutdown  = 0x145
)

// send sends a command with one u16 parameter, which is 0: shutdown so that nothing is kept.
func (c *Chip) send(code uint32) error {
	conn, err := net.Dial("unix", c.path)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(startLimit)); err != nil {
		return err
	}
	message := binary.BigEndian.AppendUint32([]byte{0x80, 0x01, 0, 0, 0, 12}, code)
	if _, err := conn.Write(append(message, 0, 0)); err != nil {
		return err
	}
	var answer [10]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	if code := binary.BigEndian.Uint32(answer[6:]); code != 0 {
		return fmt.Errorf("swtpm: the chip answers %#x", code)
	}
	return nil
}

// Stop shuts the chip down as a machine does that is switched off in order. Who is
// connected to it disconnects first.
func (c *Chip) Stop() error {
	if c.command == nil {
		return nil
	}
	return errors.Join(c.send(shutdown), c.Kill())
}

// Kill is a power cut.
func (c *Chip) Kill() error {
	if c.command == nil {
		return nil
	}
	err := c.command.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-c.exited
	c.command = nil
	c.clean()
	return err
}

func (c *Chip) clean() {
	if c.own != "" {
		os.RemoveAll(c.own)
	}
}
