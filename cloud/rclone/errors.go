package rclone

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	rfs "github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/fserrors"
	"github.com/rclone/rclone/lib/file"

	"keepsake.example/cloud"
)

// errRange is what a lookup at a venture ends with when the object is there
// and has no such range (RFC 9110 section 15.5.17).
var errRange = errors.New("cloud/rclone: no such range")

// A failure is an error of a back end. Its text is that of rclone without
// what may be secret; the chain of the error is kept, but for contexts that
// are not the caller's.
type failure struct {
	kind  error // of package cloud, or errRange
	text  string
	whole bool // text says also what the kind would
	cause error
}

func (f *failure) Error() string {
	if f.kind == nil || f.whole {
		return f.text
	}
	return f.kind.Error() + ": " + f.text
}

func (f *failure) Unwrap() []error {
	var wrapped []error
	for _, err := range []error{f.kind, f.cause} {
		if err != nil {
			wrapped = append(wrapped, err)
		}
	}
	return wrapped
}

// What may let somebody in who reads an error: user and password in a URL, and
// its query (an upload session's, a signed request's).
var (
	credentials = regexp.MustCompile(`(https?://)[^\s/"'@]*@`)
	query       = regexp.MustCompile(`(https?://[^\s"'?#]*)[?#][^\s"']*`)
)

func redact(text string) string {
	return query.ReplaceAllString(credentials.ReplaceAllString(text, "$1"), "$1")
}

// classify adds the kind of package cloud that an error of a back end amounts
// to, for a call with ctx.
func (s *Store) classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	if f := (*failure)(nil); errors.As(err, &f) {
		return err
	}
	v := s.judge(err)
	if v.kind == errRange {
		return errRange
	}
	f := &failure{kind: v.kind, text: spell(err), cause: err}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		f.cause = nil
	}
	if v.kind == cloud.ErrDenied && isExpired(err) && s.config.Login != "" {
		f.text = "access was revoked or has expired: sign in again with keepsake cloud login " + s.config.Login + " (" + f.text + ")"
	}
	if v.kind == cloud.ErrDenied && otherHostKey.MatchString(f.text) {
		said, _, _ := strings.Cut(f.text, " -- ") // what follows are flags of rclone's
		f.text = "the server shows another host key than the one this device knows: somebody may be in between, or it was set up anew; ask its owner (" + said + ")"
	}
	if clock, off := clockOff(err); off && v.kind == cloud.ErrDenied {
		f.text = clock + " (" + f.text + ")"
	}
	if region, ok := elsewhere(err); ok {
		f.kind, f.text, f.whole = cloud.ErrDenied, fmt.Sprintf("the bucket is in the region %s: sign in again with keepsake cloud login %s --region %s (%s)", region, s.config.Login, region, f.text), true
	}
	if strings.Contains(f.text, noTLS) {
		f.text, f.whole = "the server speaks http, not https, at this address ("+f.text+")", true
	}
	if v.kind == cloud.ErrUnreachable && s.fails(err) {
		f.text, f.whole = "the server answers, with a fault of its own: its disk may be full ("+f.text+")", true
	}
	if v.after > 0 && (v.kind == cloud.ErrThrottled || v.kind == cloud.ErrUnreachable) {
		return &cloud.DelayError{After: v.after, Err: f}
	}
	return f
}

// A verdict is what an error means. No kind is an error that is none of the
// cloud's.
type verdict struct {
	kind  error
	after time.Duration // to wait before the next request, if the cloud said
}

// judge asks those who know the errors of one SDK, the surest first.
func (s *Store) judge(err error) verdict {
	if s.config.Backend == "iclouddrive" {
		if v, ok := judgeICloud(err); ok {
			return v
		}
	}
	for _, judge := range []func(error) (verdict, bool){
		judgeKinds, judgeRclone, judgeGoogle, judgeAWS, judgeWebDAV, judgeOneDrive, judgeB2, judgeDropbox,
		judgeSSH, judgeSystem, judgeText, judgeGarbled, judgeNetwork,
	} {
		if v, ok := judge(err); ok {
			return v
		}
	}
	return verdict{}
}

func judgeKinds(err error) (verdict, bool) {
	for _, k := range []error{cloud.ErrNotExist, cloud.ErrExist, cloud.ErrUnreachable, cloud.ErrDenied, cloud.ErrFull, cloud.ErrThrottled} {
		if errors.Is(err, k) {
			return verdict{kind: k}, true
		}
	}
	return verdict{}, false
}

func judgeRclone(err error) (verdict, bool) {
	switch {
	case errors.Is(err, rfs.ErrorObjectNotFound), errors.Is(err, rfs.ErrorDirNotFound),
		errors.Is(err, rfs.ErrorNotAFile), errors.Is(err, rfs.ErrorIsDir):
		return verdict{kind: cloud.ErrNotExist}, true
	case errors.Is(err, rfs.ErrorPermissionDenied):
		return verdict{kind: cloud.ErrDenied}, true
	case errors.Is(err, rfs.ErrorIsFile): // where a folder of ours should be
		return verdict{kind: cloud.ErrUnreachable}, true
	}
	if after, ok := retryAfter(err); ok {
		return verdict{cloud.ErrThrottled, after}, true
	}
	return verdict{}, false
}

// byStatus is what a status of HTTP means when nothing surer is known
// (RFC 9110 section 15, RFC 4918 section 11, RFC 6585 section 4).
func byStatus(status int) (verdict, bool) {
	kind, ok := statuses[status]
	switch {
	case ok:
		return verdict{kind: kind}, true
	case status >= 500:
		return verdict{kind: cloud.ErrUnreachable}, true
	default:
		return verdict{}, false
	}
}

var statuses = map[int]error{
	http.StatusUnauthorized:                 cloud.ErrDenied,
	http.StatusPaymentRequired:              cloud.ErrDenied,
	http.StatusForbidden:                    cloud.ErrDenied,
	http.StatusMethodNotAllowed:             cloud.ErrDenied, // a WebDAV server without writing
	http.StatusProxyAuthRequired:            cloud.ErrDenied,
	http.StatusNotFound:                     cloud.ErrNotExist,
	http.StatusGone:                         cloud.ErrNotExist,
	http.StatusPreconditionFailed:           cloud.ErrExist, // we send no other condition than If-None-Match
	http.StatusRequestedRangeNotSatisfiable: errRange,
	http.StatusRequestEntityTooLarge:        cloud.ErrFull, // the largest object the server takes
	http.StatusInsufficientStorage:          cloud.ErrFull,
	http.StatusRequestTimeout:               cloud.ErrUnreachable,
	http.StatusConflict:                     cloud.ErrUnreachable, // WebDAV: the folder is not there; S3: somebody is deleting
	http.StatusTooEarly:                     cloud.ErrUnreachable,
	http.StatusMisdirectedRequest:           cloud.ErrDenied,    // Apple: the session has ended
	http.StatusLocked:                       cloud.ErrThrottled, // WebDAV: somebody else is at it
	http.StatusTooManyRequests:              cloud.ErrThrottled,
}

// withDelay adds what a Retry-After header says, in seconds or as a date.
func withDelay(v verdict, h http.Header) verdict {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil && seconds > 0 {
		v.after = time.Duration(seconds) * time.Second
	} else if t, err := http.ParseTime(text); err == nil {
		v.after = max(0, time.Until(t))
	}
	return v
}

// judgeSystem is package dir's table, for the folder and for sockets.
func judgeSystem(err error) (verdict, bool) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return verdict{kind: cloud.ErrNotExist}, true
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return verdict{kind: cloud.ErrDenied}, true
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG), errors.Is(err, file.ErrDiskFull):
		return verdict{kind: cloud.ErrFull}, true
	case errors.As(err, new(syscall.Errno)):
		return verdict{kind: cloud.ErrUnreachable}, true
	}
	return verdict{}, false
}

// texts are errors that rclone makes of text, and that no type tells.
var texts = []struct {
	text string
	kind error
}{
	{"invalid_grant", cloud.ErrDenied}, // RFC 6749 section 5.2, by rclone's oauthutil
	{"expired and there's no refresh token", cloud.ErrDenied},
	{"empty token found", cloud.ErrDenied},
	{"trust token expired", cloud.ErrDenied}, // iCloud
	{"missing icloud trust token", cloud.ErrDenied},
	{"sign in failed", cloud.ErrDenied},
	{"insufficient_space", cloud.ErrFull},
	{"Update ReadFrom failed", cloud.ErrUnreachable}, // SFTP
	{noTLS, cloud.ErrUnreachable},
}

// noTLS is what net/http says.
const noTLS = "server gave HTTP response to HTTPS client"

// restError is how rclone's own HTTP client says a status it does not know.
var restError = regexp.MustCompile(`HTTP error (\d{3}) `)

func judgeText(err error) (verdict, bool) {
	text := err.Error()
	for _, t := range texts {
		if strings.Contains(text, t.text) {
			return verdict{kind: t.kind}, true
		}
	}
	if m := restError.FindStringSubmatch(text); m != nil {
		status, _ := strconv.Atoi(m[1])
		return byStatus(status)
	}
	return verdict{}, false
}

// judgeGarbled is for answers that are not what the protocol says: most often
// the page of a hotel's network, or of a proxy, that wants a sign-in.
func judgeGarbled(err error) (verdict, bool) {
	garbled := errors.As(err, new(*json.SyntaxError)) || errors.As(err, new(*json.UnmarshalTypeError)) ||
		errors.As(err, new(*xml.SyntaxError)) || errors.As(err, new(*time.ParseError))
	return verdict{kind: cloud.ErrUnreachable}, garbled
}

func judgeNetwork(err error) (verdict, bool) {
	lost := errors.As(err, new(net.Error)) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		fserrors.IsRetryError(err) || fserrors.ShouldRetry(err)
	return verdict{kind: cloud.ErrUnreachable}, lost
}

// otherHostKey matches what rclone and SSH say of a server whose key is not the one that is known.
var otherHostKey = regexp.MustCompile(`host key mismatch|no common algorithm for host key|knownhosts: key mismatch`)

// expired matches what clouds say when a sign-in is no longer good: HTTP 401,
// and Apple's 421 and 423.
var expired = regexp.MustCompile(`HTTP error (401|421|423) |invalid_grant|googleapi: Error 401|expired_access_token|invalid_access_token|unauthenticated|InvalidAuthenticationToken|trust token expired|missing icloud trust token|sign in failed|Invalid Session Token|expired and there's no refresh token`)

func isExpired(err error) bool { return expired.MatchString(err.Error()) }
