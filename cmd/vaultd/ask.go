package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"keepsake.example/internal/command"
)

// adminTimeout bounds a question to the admin listener; a checkpoint of ten
// million accounts takes most of it.
const adminTimeout = 2 * time.Minute

// get asks the admin listener for what can only be done or fail.
func get(ctx context.Context, method, admin, path string) ([]byte, error) {
	answer, err := ask(ctx, method, admin, path, nil)
	if err != nil {
		return nil, err
	}
	if answer.status >= 300 {
		return nil, answer.refused(admin)
	}
	return answer.body, nil
}

// answer is what the admin listener says.
type answer struct {
	status int
	body   []byte
}

func (r *answer) text() string { return command.OneLine(strings.TrimSpace(string(r.body))) }

func ask(ctx context.Context, method, admin, path string, body []byte) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+admin+path, bytes.NewReader(body))
	if err != nil {
		return nil, command.BadConfig(fmt.Sprintf("admin address %q: %v", admin, err), "--admin, or admin in vaultd.toml, is HOST:PORT")
	}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, unanswered(ctx, fmt.Errorf("asking vaultd at %s: %w", admin, err))
	}
	defer got.Body.Close()
	text, err := io.ReadAll(io.LimitReader(got.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("reading vaultd's answer: %w", err)
	}
	return &answer{got.StatusCode, text}, nil
}

// unanswered is how a command ends when nobody is there: no such name, nothing that listens, or
// no answer in time. When somebody has stopped the command, it says that.
func unanswered(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	return command.Fail(exitUnreachable, err.Error(), "is vaultd running, and is the admin address right?")
}

// maxAnswer bounds what is read of an answer, in bytes: all changes of a fleet, 10 KiB each.
const maxAnswer = 64 << 20

// refused is how a command ends after an answer that is no success.
func (r *answer) refused(admin string) error {
	message := fmt.Sprintf("vaultd at %s: %d %s: %s", admin, r.status, http.StatusText(r.status), r.text())
	switch r.status {
	case http.StatusInsufficientStorage:
		return command.Fail(command.NoRoom, message, "make room on the disk of the replica's files; a checkpoint needs as much again as the last one, until it is whole")
	case http.StatusConflict:
		return command.Fail(exitRefused, message, "see: vaultd status, which shows the voters, who is up, and who leads")
	case http.StatusGatewayTimeout:
		return command.Fail(command.Failed, message, "nothing is lost, and this member leads on; vaultd status says which voter is up, without lag, and with room on its disk: ask again with one of those")
	case http.StatusServiceUnavailable:
		return command.Fail(exitNoQuorum, message, "see: vaultd status; too few members may be up, or this one is still catching up")
	}
	return command.Fail(command.Failed, message, "is that the admin address of a vaultd, and of this version? Its log says more")
}
