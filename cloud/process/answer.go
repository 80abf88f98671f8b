package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"keepsake.example/cloud"
)

// answer is what the child says to one request: a body, and how it ended.
type answer struct {
	ctx      context.Context
	child    *child
	response *http.Response
	body     io.Reader
}

// ask sends a request and reads the head of the answer. An error that the child
// tells at once is an *Error, with what may be round it.
func (c *child) ask(ctx context.Context, method, path string, body io.ReadCloser, size int64) (*answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://keepsake-cloud"+path, nil)
	if err != nil {
		return nil, err
	}
	if size > 0 {
		request.Body, request.ContentLength = body, size
	}
	response, err := c.conn.RoundTrip(request)
	if err != nil {
		return nil, c.failed(ctx, err)
	}
	a := &answer{ctx, c, response, response.Body}
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, maxLine))
		a.Close()
		return nil, c.distrust(fmt.Sprintf("status %d, %s", response.StatusCode, text))
	}
	if response.Header.Get(headerEnd) != "" {
		if err := a.ended(response.Header); err != nil {
			a.Close()
			return nil, err
		}
	}
	return a, nil
}

// failed turns an error of net/http into one of a store.
func (c *child) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c.mu.Lock()
	bad := c.bad
	c.mu.Unlock()
	switch {
	case bad != nil:
		return bad
	case c.ends.lost.Load():
		return c.lost()
	case c.frozen():
		return c.froze()
	}
	return c.distrust(err.Error())
}

func (a *answer) Close() error { return a.response.Body.Close() }

// cut is the error of a body that could not be read to its end.
func (a *answer) cut(err error) error { return a.child.failed(a.ctx, err) }

// broken ends a child whose answer cannot be.
func (a *answer) broken(problem string) error { return a.child.distrust(problem) }

// end says how the request ended, when the body was read to its end.
func (a *answer) end() error {
	if a.response.Trailer.Get(headerEnd) == "" && a.response.Header.Get(headerEnd) != "" {
		return nil // ask has read it
	}
	return a.ended(a.response.Trailer)
}

func (a *answer) ended(h http.Header) error {
	if text := h.Get(headerCounters); text != "" {
		n, err := decodeCounters(text)
		if err != nil {
			return a.broken("counters " + err.Error())
		}
		a.child.counted(n)
	}
	told, err := decodeEnd(h.Get(headerEnd))
	if err != nil {
		return a.broken("end of an answer: " + err.Error())
	}
	if a.ctx.Err() != nil && told != nil {
		return a.ctx.Err() // the child was told too, and says so in its own words
	}
	if e, ok := errors.AsType[*Error](told); ok {
		e.Destination = a.child.destination
	}
	return told
}

// finish is the end of an answer without a body.
func (a *answer) finish() error {
	defer a.Close()
	n, err := io.ReadFull(a.body, make([]byte, 1))
	switch {
	case n != 0:
		return a.broken("more than was asked for")
	case err != io.EOF:
		return a.cut(err)
	}
	return a.end()
}

// each reads descriptions of objects, up to most.
func (a *answer) each(most int, prefix string, fn func(cloud.Info) error) error {
	lines := bufio.NewScanner(a.body)
	lines.Buffer(make([]byte, 4096), maxLine)
	for n := 0; lines.Scan(); n++ {
		info, err := decodeInfo(lines.Bytes(), prefix)
		if err != nil || n == most {
			return a.broken("a listing: more objects than can be, or one that cannot be")
		}
		if err := a.ctx.Err(); err != nil {
			return err
		}
		if err := fn(info); err != nil {
			return err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return a.broken("a listing: a line too long")
	} else if err != nil {
		return a.cut(err)
	}
	return a.end()
}
