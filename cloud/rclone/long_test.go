//go:build long

package rclone_test

import (
	"testing"

	"keepsake.example/cloud/rclone/servertest"
)

// A second S3 server, of other people's making than rclone's: `make long`.
func TestVersitygw(t *testing.T) { conformance(t, servertest.Versitygw) }
