package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"keepsake.example/anchor"
)

const (
	headerSize = 10   // of a command and of a response: TPM 2.0 part 1, 18
	maxMessage = 4096 // bytes of a response; chips of the PC profile have this limit
	// A chip that makes a key may take seconds. What takes longer does not answer: most
	// likely another process is connected to the same socket.
	answerLimit = 30 * time.Second
	// How long a chip may ask to be asked again, for instance because it wrote too often.
	retryLimit = 20 * time.Second
	tcpPrefix  = "tcp:"
)

// A link carries commands to a chip, one at a time.
type link struct {
	conn    io.ReadWriteCloser
	message bool          // one read gives one response: a device file
	limit   time.Duration // of an answer; device files wait as long as the kernel does
}

// dial connects to a device file, a socket, or tcp:host:port.
func dial(ctx context.Context, path string, limit time.Duration) (*link, error) {
	if address, ok := strings.CutPrefix(path, tcpPrefix); ok {
		return connect(ctx, "tcp", address, limit)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, absent(err)
	}
	if info.Mode()&fs.ModeSocket != 0 {
		return connect(ctx, "unix", path, limit)
	}
	if info.Mode()&fs.ModeDevice == 0 {
		return nil, fmt.Errorf("%s is neither a device nor a socket", path)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, absent(err)
	}
	return &link{conn: file, message: true}, nil
}

func connect(ctx context.Context, network, address string, limit time.Duration) (*link, error) {
	conn, err := (&net.Dialer{Timeout: limit}).DialContext(ctx, network, address)
	if err != nil {
		return nil, absent(err)
	}
	return &link{conn: conn, limit: limit}, nil
}

// absent tells a chip that is not there from one that somebody else has or that we may not open.
func absent(err error) error {
	switch {
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("%w: %w", anchor.ErrInUse, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, context.Canceled):
		return err
	}
	return fmt.Errorf("%w: %w", anchor.ErrAbsent, err)
}

// Send implements [transport.TPM].
func (l *link) Send(command []byte) ([]byte, error) {
	if conn, ok := l.conn.(net.Conn); ok {
		if err := conn.SetDeadline(time.Now().Add(l.limit)); err != nil {
			return nil, absent(err)
		}
	}
	if _, err := l.conn.Write(command); err != nil {
		return nil, absent(err)
	}
	response, err := l.receive()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, fmt.Errorf("%w: no answer in %v", anchor.ErrInUse, l.limit)
	}
	return response, err
}

func (l *link) receive() ([]byte, error) {
	response := make([]byte, maxMessage)
	if l.message {
		n, err := l.conn.Read(response)
		if err != nil {
			return nil, absent(err)
		}
		return response[:n], nil
	}
	if _, err := io.ReadFull(l.conn, response[:headerSize]); err != nil {
		return nil, absent(err)
	}
	size := binary.BigEndian.Uint32(response[2:])
	if size < headerSize || size > maxMessage {
		return nil, fmt.Errorf("a response of %d bytes", size)
	}
	if _, err := io.ReadFull(l.conn, response[headerSize:size]); err != nil {
		return nil, absent(err)
	}
	return response[:size], nil
}

// patient repeats commands that the chip did not take yet.
type patient struct{ transport.TPM }

// Send implements [transport.TPM]. The same bytes are right again: a command that was
// not taken has not moved a session's nonces on.
func (p patient) Send(command []byte) ([]byte, error) {
	pause := 5 * time.Millisecond
	for end := time.Now().Add(retryLimit); ; pause *= 2 {
		response, err := p.TPM.Send(command)
		if err != nil || !asksAgain(response) || time.Now().After(end) {
			return response, err
		}
		time.Sleep(pause)
	}
}

func asksAgain(response []byte) bool {
	if len(response) < headerSize {
		return false
	}
	switch tpm2.TPMRC(binary.BigEndian.Uint32(response[6:])) {
	case tpm2.TPMRCRetry, tpm2.TPMRCYielded, tpm2.TPMRCTesting, tpm2.TPMRCNVRate:
		return true
	}
	return false
}
