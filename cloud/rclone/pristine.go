package rclone

import (
	"context"
	"fmt"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/config/configstruct"
)

// Those who sign in by rclone's own flows open no store first.
func init() {
	c := fs.GetConfig(context.Background())
	c.HTTPProxy, c.CaCert = "", nil
	if err := pristine(c); err != nil {
		panic("cloud/rclone: internal error: " + err.Error())
	}
}

// pristine undoes what RCLONE_ variables of the environment have said, which
// rclone reads before main begins: RCLONE_NO_CHECK_CERTIFICATE ends the
// checking of certificates, RCLONE_DUMP prints requests with their
// credentials, RCLONE_HEADER sends what it says to every cloud.
func pristine(c *fs.ConfigInfo) error {
	proxy, cas := c.HTTPProxy, c.CaCert // configure compares them
	if err := configstruct.Set(defaults(fs.ConfigOptionsInfo), c); err != nil {
		return fmt.Errorf("resetting rclone's options: %w", err)
	}
	c.Headers, c.DownloadHeaders, c.UploadHeaders, c.MetadataSet = nil, nil, nil, nil
	c.BwLimit, c.BwLimitFile = nil, nil // no text stands for none
	c.HTTPProxy, c.CaCert = proxy, cas
	return nil
}
