package rclone

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	icloud "github.com/rclone/rclone/backend/iclouddrive/api"

	"keepsake.example/cloud"
)

// iCloud's back end knows statuses and texts only. What they mean is
// CloudKit's table, which is Apple's (CloudKit Web Services Reference, Error
// Codes), as far as the drive is known to follow it: package fakeicloud.

// iCloudCodes are values of serverErrorCode.
var iCloudCodes = map[string]error{
	"ACCESS_DENIED":              cloud.ErrDenied,
	"AUTHENTICATION_FAILED":      cloud.ErrDenied,
	"AUTHENTICATION_REQUIRED":    cloud.ErrDenied,
	"SIGN_IN_FAILED":             cloud.ErrDenied,
	"NOT_FOUND":                  cloud.ErrNotExist,
	"EXISTS":                     cloud.ErrExist,
	"QUOTA_EXCEEDED":             cloud.ErrFull,
	"THROTTLED":                  cloud.ErrThrottled,
	"TRY_AGAIN_LATER":            cloud.ErrUnreachable,
	"INTERNAL_ERROR":             cloud.ErrUnreachable,
	"CONFLICT":                   cloud.ErrUnreachable,
	"ZONE_NOT_FOUND":             cloud.ErrUnreachable,
	"VALIDATING_REFERENCE_ERROR": cloud.ErrUnreachable, // the folder is gone
}

// In the text of rclone's errors the body of an answer is quoted.
var (
	iCloudCode  = regexp.MustCompile(`serverErrorCode\\*":\s*\\*"([A-Z_]{1,40})\\*"`)
	iCloudAfter = regexp.MustCompile(`retryAfter\\*":\s*(\d{1,6})\b`)
	iCloudState = regexp.MustCompile(`HTTP error (412|423) `)
)

func judgeICloud(err error) (verdict, bool) {
	var item *icloud.RequestError
	if errors.As(err, &item) {
		if item.Status == "id_invalid" {
			return verdict{kind: cloud.ErrNotExist}, true
		}
		return verdict{kind: cloud.ErrUnreachable}, true
	}
	text := err.Error()
	var v verdict
	if m := iCloudCode.FindStringSubmatch(text); m != nil {
		v.kind = iCloudCodes[m[1]]
	} else if m := iCloudState.FindStringSubmatch(text); m != nil {
		v.kind = map[string]error{"412": cloud.ErrUnreachable, "423": cloud.ErrDenied}[m[1]]
	}
	if m := iCloudAfter.FindStringSubmatch(text); m != nil {
		seconds, _ := strconv.Atoi(m[1]) // six digits
		v.after = time.Duration(seconds) * time.Second
	}
	if isHidden(err) {
		v.kind = cloud.ErrUnreachable
	}
	return v, v.kind != nil
}

// isHidden says that iCloud did not say where a file's bytes are. rclone loses
// the reason: the file is gone, or the session, or the cloud is busy.
func isHidden(err error) bool { return err != nil && strings.Contains(err.Error(), "RootURL not set") }
