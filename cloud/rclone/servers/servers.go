// Package servers starts real servers for tests.
package servers

import (
	_ "github.com/rclone/rclone/cmd/serve/s3"
	_ "github.com/rclone/rclone/cmd/serve/webdav"
	_ "github.com/zalando/go-keyring"
	_ "golang.org/x/oauth2"
)
