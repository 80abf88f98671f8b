package rclone

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	smithyhttp "github.com/aws/smithy-go/transport/http"
	webdav "github.com/rclone/rclone/backend/webdav/api"

	"keepsake.example/cloud"
)

// fullWords are how servers pass on in their own words that there is no room, under
// codes that mean anything: what the system says (ENOSPC, EDQUOT), as MinIO does, and
// Backblaze's cap.
var fullWords = regexp.MustCompile(`(?i)no space left on device|disk quota exceeded|quota has been exceeded|storage cap exceeded|storage ?limit ?exceeded`)

func saysFull(text string) bool { return fullWords.MatchString(text) }

var regionName = regexp.MustCompile(`\A[a-z0-9-]{1,40}\z`)

// elsewhere says in which region the bucket is, if that is why S3 refused
// (docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html). rclone goes there by
// itself where no endpoint is named.
func elsewhere(err error) (region string, ok bool) {
	var aws *smithyhttp.ResponseError
	if !errors.As(err, &aws) || aws.Response == nil {
		return "", false
	}
	switch aws.HTTPStatusCode() {
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusBadRequest:
		region = aws.Response.Header.Get("X-Amz-Bucket-Region")
	}
	return region, regionName.MatchString(region)
}

// fails says that a server which somebody runs answered, and cannot do what was asked: status
// 500, which is all that many of them have for a disk that is full. It may pass, and the person
// should know what to look for meanwhile.
func (s *Store) fails(err error) bool {
	var aws *smithyhttp.ResponseError
	var dav *webdav.Error
	switch {
	case errors.As(err, &aws):
		return aws.HTTPStatusCode() == http.StatusInternalServerError
	case errors.As(err, &dav):
		return dav.StatusCode == http.StatusInternalServerError
	}
	return false
}

// perhapsFull asks for the room left, of a server whose answer for a full disk is that of
// something else: "failure" of OpenSSH's SFTP, whose protocol has no other word, and 405
// of WebDAV servers made with golang.org/x/net/webdav, rclone's among them.
func (s *Store) perhapsFull(ctx context.Context, err error, size int64) error {
	var dav *webdav.Error
	refused := errors.As(err, &dav) && dav.StatusCode == http.StatusMethodNotAllowed
	if !refused && (s.config.Backend != "sftp" || !errors.Is(err, cloud.ErrUnreachable)) {
		return err
	}
	u, aboutErr := s.About(ctx)
	switch {
	case aboutErr == nil && u.Free >= 0 && u.Free < size+1<<20:
		return &failure{kind: cloud.ErrFull, text: fmt.Sprintf("%d bytes are free", u.Free)}
	case refused:
		return &failure{kind: cloud.ErrDenied, text: "the server takes no files here, or its disk is full (" + spell(dav) + ")", cause: err}
	}
	return err
}
