package faulty

import (
	"fmt"
	"net/http"
	"time"
)

// Request is what a plan decides about.
type Request struct {
	*http.Request
	N int // the how manyeth request of all, from 1
}

// Fault is what happens to one request. The zero value is nothing. Of several
// fields the first that is set, in this order, decides; Skew goes with any.
type Fault struct {
	// Status answers in place of the server, with RetryAfter (rounded up to
	// seconds) and Body. The request's body is read before.
	Status     int
	RetryAfter time.Duration
	Body       string

	// Refuse resets the connection before the request reaches the server.
	Refuse bool
	// CutUp resets it after so many bytes of the request's body. If that is
	// the last, the server may have it all.
	CutUp int64
	// Silent has the connection fall silent where CutUp would reset it, or
	// before the request.
	Silent bool
	// Lose lets the server do its work and resets in place of its answer.
	Lose bool
	// Truncate ends the connection, in good order, after so many bytes of the
	// answer's body.
	Truncate int64
	// Lie is added to the answer's Content-Length. The body stays what it is,
	// and the connection ends behind what was announced or is there.
	Lie int64

	// Skew is how far the server's clock is off: its answers' Date, and for a
	// request that is signed with another time (X-Amz-Date, more than 15
	// minutes off) S3's refusal RequestTimeTooSkewed.
	Skew time.Duration
}

// S3Error is the answer of S3 with one of its error codes (Amazon S3 API
// Reference, Error responses).
func S3Error(status int, code, message string) Fault {
	return Fault{Status: status, Body: fmt.Sprintf(
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message><RequestId>faulty</RequestId></Error>", code, message)}
}

// allowedSkew is S3's.
const allowedSkew = 15 * time.Minute

// skewed says whether a server with this clock refuses a request for its time.
func skewed(r *http.Request, server time.Time) bool {
	signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return false
	}
	return server.Sub(signed).Abs() > allowedSkew
}
