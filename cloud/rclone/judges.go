package rclone

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/dropbox/dropbox-sdk-go-unofficial/v6/dropbox"
	"github.com/dropbox/dropbox-sdk-go-unofficial/v6/dropbox/auth"
	"github.com/pkg/sftp"
	b2 "github.com/rclone/rclone/backend/b2/api"
	onedrive "github.com/rclone/rclone/backend/onedrive/api"
	webdav "github.com/rclone/rclone/backend/webdav/api"
	"github.com/rclone/rclone/fs/fserrors"
	"github.com/rclone/rclone/lib/pacer"
	"google.golang.org/api/googleapi"

	"keepsake.example/cloud"
)

// What the SDKs of single clouds call their errors.

// retryAfter finds the wait that a back end of rclone read from an answer.
func retryAfter(err error) (time.Duration, bool) {
	if after, ok := pacer.IsRetryAfter(err); ok {
		return after, true
	}
	if fserrors.IsRetryAfterError(err) {
		return max(0, time.Until(fserrors.RetryAfterErrorTime(err))), true
	}
	return 0, false
}

// googleReasons: developers.google.com/workspace/drive/api/guides/handle-errors
var googleReasons = map[string]error{
	"rateLimitExceeded":                 cloud.ErrThrottled,
	"userRateLimitExceeded":             cloud.ErrThrottled,
	"sharingRateLimitExceeded":          cloud.ErrThrottled,
	"dailyLimitExceeded":                cloud.ErrThrottled,
	"downloadQuotaExceeded":             cloud.ErrThrottled,
	"quotaExceeded":                     cloud.ErrFull,
	"storageQuotaExceeded":              cloud.ErrFull,
	"teamDriveFileLimitExceeded":        cloud.ErrFull,
	"numChildrenInNonRootLimitExceeded": cloud.ErrFull,
	"authError":                         cloud.ErrDenied,
	"notFound":                          cloud.ErrNotExist,
}

func judgeGoogle(err error) (verdict, bool) {
	var g *googleapi.Error
	if !errors.As(err, &g) {
		return verdict{}, false
	}
	v, ok := byStatus(g.Code)
	if len(g.Errors) > 0 {
		if kind, known := googleReasons[g.Errors[0].Reason]; known {
			v, ok = verdict{kind: kind}, true
		}
	}
	return withDelay(v, g.Header), ok
}

// hasNoTrash says that something cannot be trashed where it is
// (developers.google.com/workspace/drive/api/guides/appdata).
func hasNoTrash(err error) bool {
	var g *googleapi.Error
	return errors.As(err, &g) && len(g.Errors) > 0 && g.Errors[0].Reason == "notSupportedForAppDataFolderFiles"
}

// awsCodes: docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; the
// servers that speak S3 add their own.
var awsCodes = map[string]error{
	"NoSuchKey":                  cloud.ErrNotExist,
	"NoSuchVersion":              cloud.ErrNotExist,
	"NoSuchBucket":               cloud.ErrUnreachable,
	"PermanentRedirect":          cloud.ErrUnreachable,
	"PreconditionFailed":         cloud.ErrExist,
	"InvalidRange":               errRange,
	"AccessDenied":               cloud.ErrDenied,
	"AllAccessDisabled":          cloud.ErrDenied,
	"AccountProblem":             cloud.ErrDenied,
	"InvalidAccessKeyId":         cloud.ErrDenied,
	"SignatureDoesNotMatch":      cloud.ErrDenied,
	"ExpiredToken":               cloud.ErrDenied,
	"InvalidToken":               cloud.ErrDenied,
	"RequestTimeTooSkewed":       cloud.ErrDenied, // the text says which clock
	"MethodNotAllowed":           cloud.ErrDenied,
	"QuotaExceeded":              cloud.ErrFull, // Ceph, Scality
	"XMinioStorageFull":          cloud.ErrFull,
	"InsufficientStorage":        cloud.ErrFull, // after RFC 4918 section 11.5
	"InsufficientStorageSpace":   cloud.ErrFull, // Huawei OBS
	"EntityTooLarge":             cloud.ErrFull,
	"SlowDown":                   cloud.ErrThrottled,
	"TooManyRequests":            cloud.ErrThrottled,
	"RequestLimitExceeded":       cloud.ErrThrottled,
	"Throttling":                 cloud.ErrThrottled,
	"ThrottlingException":        cloud.ErrThrottled,
	"ConditionalRequestConflict": cloud.ErrUnreachable,
	"OperationAborted":           cloud.ErrUnreachable,
	"RequestTimeout":             cloud.ErrUnreachable,
	"InternalError":              cloud.ErrUnreachable,
	"ServiceUnavailable":         cloud.ErrUnreachable,
	"BadDigest":                  cloud.ErrUnreachable, // the bytes changed on the way
	"IncompleteBody":             cloud.ErrUnreachable,
}

func judgeAWS(err error) (verdict, bool) {
	var v verdict
	found := false
	var answer *smithyhttp.ResponseError
	header := http.Header{}
	if errors.As(err, &answer) {
		v, found = byStatus(answer.HTTPStatusCode())
		if answer.Response != nil {
			header = answer.Response.Header
		}
	}
	var api smithy.APIError
	if errors.As(err, &api) && v.kind != cloud.ErrFull {
		if kind, known := awsCodes[api.ErrorCode()]; known {
			v, found = verdict{kind: kind}, true
		}
		if saysFull(api.ErrorCode() + " " + api.ErrorMessage()) {
			v, found = verdict{kind: cloud.ErrFull}, true
		}
	}
	return withDelay(v, header), found
}

// tolerated is how far clocks may be apart before a refusal is put down to it. S3
// refuses at 15 minutes (RequestTimeTooSkewed); a HEAD it refuses without a word.
const tolerated = 10 * time.Minute

// clockOff says how far this device's clock is from that of a server that refused
// a signed request, if that may be why.
func clockOff(err error) (text string, off bool) {
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.Response == nil || answer.HTTPStatusCode() != http.StatusForbidden {
		return "", false
	}
	date, err := http.ParseTime(answer.Response.Header.Get("Date"))
	if err != nil {
		return "", false
	}
	ahead := time.Since(date).Round(time.Minute)
	side := "ahead of"
	if ahead < 0 {
		side = "behind"
	}
	const clock = "2006-01-02 15:04 MST"
	return fmt.Sprintf("this device's clock is %v %s the server's: it is %s here and %s there, and one of the two is wrong",
		ahead.Abs(), side, time.Now().UTC().Format(clock), date.UTC().Format(clock)), ahead.Abs() > tolerated
}

// spell leaves out of the text of an error what only who debugs an SDK can
// use: numbers of requests, counts of attempts, the URL.
func spell(err error) string {
	var operation *smithy.OperationError
	if !errors.As(err, &operation) {
		return redact(err.Error())
	}
	var api smithy.APIError
	var answer *smithyhttp.ResponseError
	var network *net.OpError
	switch {
	case errors.As(err, &api) && api.ErrorMessage() != "":
		return operation.OperationName + ": " + redact(api.ErrorCode()+": "+api.ErrorMessage())
	case errors.As(err, &api):
		return operation.OperationName + ": " + redact(api.ErrorCode())
	case errors.As(err, &network):
		return operation.OperationName + ": " + redact(network.Error())
	case errors.As(err, &answer) && answer.HTTPStatusCode() != 0:
		return fmt.Sprintf("%s: HTTP status %d", operation.OperationName, answer.HTTPStatusCode())
	}
	cause := operation.Err
	for next := errors.Unwrap(cause); next != nil; next = errors.Unwrap(cause) {
		cause = next
	}
	return operation.OperationName + ": " + redact(cause.Error())
}

func judgeWebDAV(err error) (verdict, bool) {
	var w *webdav.Error
	if !errors.As(err, &w) {
		return verdict{}, false
	}
	if saysFull(w.Message) {
		return verdict{kind: cloud.ErrFull}, true
	}
	return byStatus(w.StatusCode)
}

// oneDriveCodes: learn.microsoft.com/en-us/onedrive/developer/rest-api/concepts/errors
var oneDriveCodes = map[string]error{
	"itemNotFound":               cloud.ErrNotExist,
	"nameAlreadyExists":          cloud.ErrExist,
	"quotaLimitReached":          cloud.ErrFull,
	"insufficientStorage":        cloud.ErrFull,
	"maxFileSizeExceeded":        cloud.ErrFull,
	"activityLimitReached":       cloud.ErrThrottled,
	"throttledRequest":           cloud.ErrThrottled,
	"accessDenied":               cloud.ErrDenied,
	"notAllowed":                 cloud.ErrDenied,
	"unauthenticated":            cloud.ErrDenied,
	"InvalidAuthenticationToken": cloud.ErrDenied,
	"serviceNotAvailable":        cloud.ErrUnreachable,
	"generalException":           cloud.ErrUnreachable,
	"resourceModified":           cloud.ErrUnreachable,
	"invalidRange":               errRange,
}

func judgeOneDrive(err error) (verdict, bool) {
	var o *onedrive.Error
	if !errors.As(err, &o) {
		return verdict{}, false
	}
	for _, code := range []string{o.ErrorInfo.InnerError.Code, o.ErrorInfo.Code} {
		if kind, known := oneDriveCodes[code]; known {
			return verdict{kind: kind}, true
		}
	}
	return verdict{}, false
}

// b2Codes: www.backblaze.com/docs/cloud-storage-native-api error lists
var b2Codes = map[string]error{
	"no_such_file":             cloud.ErrNotExist,
	"file_not_present":         cloud.ErrNotExist,
	"storage_cap_exceeded":     cloud.ErrFull,
	"cap_exceeded":             cloud.ErrFull,
	"transaction_cap_exceeded": cloud.ErrThrottled,
	"download_cap_exceeded":    cloud.ErrThrottled,
	"too_many_requests":        cloud.ErrThrottled,
	"bad_bucket_id":            cloud.ErrUnreachable,
	"range_not_satisfiable":    errRange,
}

func judgeB2(err error) (verdict, bool) {
	var b *b2.Error
	if !errors.As(err, &b) {
		return verdict{}, false
	}
	if kind, known := b2Codes[b.Code]; known {
		return verdict{kind: kind}, true
	}
	return byStatus(b.Status)
}

// dropboxWords are parts of Dropbox's error summaries, of which its SDK has a
// type for each of its methods: www.dropbox.com/developers/documentation/http
var dropboxWords = []struct {
	word string
	kind error
}{
	{"insufficient_space", cloud.ErrFull},
	{"insufficient_quota", cloud.ErrFull},
	{"too_many_write_operations", cloud.ErrThrottled},
	{"too_many_requests", cloud.ErrThrottled},
	{"no_write_permission", cloud.ErrDenied},
	{"/not_found", cloud.ErrNotExist},
	{"/conflict", cloud.ErrExist},
}

func judgeDropbox(err error) (verdict, bool) {
	var limit auth.RateLimitAPIError
	var who auth.AuthAPIError
	var internal dropbox.SDKInternalError
	switch {
	case errors.As(err, &limit) && limit.RateLimitError != nil:
		return verdict{cloud.ErrThrottled, time.Duration(limit.RateLimitError.RetryAfter) * time.Second}, true
	case errors.As(err, &who), errors.As(err, new(auth.AccessAPIError)):
		return verdict{kind: cloud.ErrDenied}, true
	case errors.As(err, &internal):
		return byStatus(internal.StatusCode)
	}
	text := err.Error()
	if !strings.Contains(text, "/") {
		return verdict{}, false
	}
	for _, w := range dropboxWords {
		if strings.HasPrefix(text, "path"+w.word) || strings.Contains(text, w.word+"/") {
			return verdict{kind: w.kind}, true
		}
	}
	return verdict{}, false
}

// Status codes of SFTP above version 3, which some servers send all the same
// (draft-ietf-secsh-filexfer-13 section 9.1).
const (
	sftpNoSpace = 14
	sftpQuota   = 15
)

func judgeSSH(err error) (verdict, bool) {
	if errors.Is(err, sftp.ErrSSHFxConnectionLost) || errors.Is(err, sftp.ErrSSHFxNoConnection) {
		return verdict{kind: cloud.ErrUnreachable}, true
	}
	var status *sftp.StatusError
	if errors.As(err, &status) {
		switch status.Code {
		case sftpNoSpace, sftpQuota:
			return verdict{kind: cloud.ErrFull}, true
		case uint32(sftp.ErrSSHFxFailure):
			return verdict{kind: cloud.ErrUnreachable}, true
		}
	}
	text := err.Error()
	for _, word := range []string{"ssh: unable to authenticate", "knownhosts: ", "host key"} {
		if strings.Contains(text, word) {
			return verdict{kind: cloud.ErrDenied}, true
		}
	}
	return verdict{}, false
}
