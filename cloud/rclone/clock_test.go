package rclone_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/pkg/sftp"

	"keepsake.example/cloud"
	"keepsake.example/cloud/rclone"
)

// A refusal by a server whose clock is another says so, even where the answer, to a
// HEAD, has no words of its own.
func TestClockSkewIsNamed(t *testing.T) {
	for ahead, want := range map[time.Duration]string{
		0: "", 5 * time.Minute: "", time.Hour: "clock is 1h0m0s ahead of the server's: it is 20", -time.Hour: "clock is 1h0m0s behind the server's",
	} {
		answer := &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}}
		answer.Header.Set("Date", time.Now().Add(-ahead).UTC().Format(http.TimeFormat))
		refused := &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: answer}, Err: errors.New("Forbidden")}
		err := rclone.Classify(t.Context(), "s3", fmt.Errorf("asking: %w", refused))
		if !errors.Is(err, cloud.ErrDenied) || !strings.Contains(err.Error(), want) || (want == "") == strings.Contains(err.Error(), "clock") {
			t.Errorf("%v ahead: %v, want %q", ahead, err, want)
		}
		answer.StatusCode = http.StatusServiceUnavailable
		if err := rclone.Classify(t.Context(), "s3", refused); strings.Contains(err.Error(), "clock") {
			t.Errorf("a server that is busy: %v", err)
		}
	}
}

func TestLostConnectionOfSFTP(t *testing.T) {
	for _, lost := range []error{sftp.ErrSSHFxConnectionLost, sftp.ErrSSHFxNoConnection} {
		if err := rclone.Classify(t.Context(), "sftp://me@host", fmt.Errorf("reading: %w", lost)); !errors.Is(err, cloud.ErrUnreachable) {
			t.Errorf("%v is %v, want ErrUnreachable", lost, err)
		}
	}
}
