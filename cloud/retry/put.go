package retry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"keepsake.example/cloud"
)

// tail is how much of an object's end is compared: enough to hold what no other
// writer could have made, little enough to cost one small request.
const tail = 64 << 10

// Put is cloud.Store's.
//
// When a repetition says that there is an object of this name, the attempt
// before it may have been stored and its answer lost. It counts as stored when
// what is there has the length and the last bytes of body: objects are sealed
// under fresh nonces, so that two writers never make the same bytes.
func (s *Store) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	return s.do(ctx, func(again bool) error {
		if again {
			if err := rewind(body); err != nil {
				return err
			}
		}
		err := s.under.Put(ctx, name, body, size)
		if !again || !errors.Is(err, cloud.ErrExist) {
			return err
		}
		stored, compareErr := s.holds(ctx, name, body, size)
		switch {
		case compareErr != nil:
			return compareErr
		case stored:
			return nil
		}
		return err
	})
}

func rewind(body io.Seeker) error {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("going back to the start of what is stored: %w", err)
	}
	return nil
}

// holds says whether body is what the store has under name.
func (s *Store) holds(ctx context.Context, name string, body io.ReadSeeker, size int64) (bool, error) {
	ours, err := endOf(body, size)
	if err != nil {
		return false, err
	}
	info, err := s.under.Stat(ctx, name)
	if err == nil && info.Size != size {
		return false, nil
	}
	var theirs []byte
	if err == nil {
		theirs, err = s.read(ctx, name, size-int64(len(ours)), len(ours))
	}
	if errors.Is(err, cloud.ErrNotExist) || errors.Is(err, io.ErrUnexpectedEOF) && !passes(err) {
		// Seen by one request and not, or not whole, by the next: what lags
		// catches up, and the next attempt finds the one or the other.
		return false, fmt.Errorf("%w: %s is there and is not there", cloud.ErrUnreachable, name)
	}
	return err == nil && bytes.Equal(ours, theirs), err
}

// endOf reads the last bytes of body, which promises no more than to go back to
// its start.
func endOf(body io.ReadSeeker, size int64) ([]byte, error) {
	if err := rewind(body); err != nil {
		return nil, err
	}
	end := make([]byte, min(size, tail))
	_, err := io.CopyN(io.Discard, body, size-int64(len(end)))
	if err == nil {
		_, err = io.ReadFull(body, end)
	}
	if err != nil {
		return nil, fmt.Errorf("reading again what is stored: %w", err)
	}
	return end, nil
}

func (s *Store) read(ctx context.Context, name string, offset int64, length int) ([]byte, error) {
	r, err := s.under.Get(ctx, name, offset, int64(length))
	if err != nil {
		return nil, err
	}
	data := make([]byte, length)
	_, err = io.ReadFull(r, data)
	return data, errors.Join(err, r.Close())
}
