package rclone

import (
	"time"

	"github.com/rclone/rclone/fs/hash"

	"keepsake.example/cloud"

	// The back ends a person can name; each brings its cloud's SDK.
	_ "github.com/rclone/rclone/backend/b2"
	_ "github.com/rclone/rclone/backend/drive"
	"github.com/rclone/rclone/backend/dropbox"
	_ "github.com/rclone/rclone/backend/iclouddrive"
	_ "github.com/rclone/rclone/backend/local"
	"github.com/rclone/rclone/backend/onedrive"
	_ "github.com/rclone/rclone/backend/s3"
	_ "github.com/rclone/rclone/backend/sftp"
	_ "github.com/rclone/rclone/backend/webdav"
)

// A clobber is how a Put over an object is refused.
type clobber int

const (
	asked   clobber = iota // by looking first
	refused                // by the cloud: If-None-Match (RFC 9110 section 13.1.2)
)

// A kind is what one of rclone's back ends is like.
type kind struct {
	traits cloud.Traits
	// always are options our promises rest on; usual ones give way to the
	// person's own. Both by rclone's names.
	always, usual map[string]string
	retries       int // how often rclone tries a request; cloud/retry is above us

	http       bool // speaks HTTP through rclone's transport, which counts
	folders    bool // has folders that can be there or not; else prefixes
	inPlace    bool // shows an object while it is written
	lazy       bool // NewObject asks the cloud nothing
	blind      bool // Put would list the whole folder first (see putBlind)
	duplicates bool // keeps several objects of one name
	clobber    clobber
	// sum is what the cloud's answer to a Put says of the bytes it has, and
	// we compare; hash.None where it checks what we say (S3, B2) or says
	// nothing (SFTP, most of WebDAV).
	sum hash.Type
}

// kinds says what was read in rclone's source and the providers' documents;
// doc/decisions/0044-rclone.md argues.
var kinds = map[string]kind{
	// With no_head and no_head_object a Put, a Get and a Delete are one
	// request each. The body is one PutObject up to upload_cutoff, so that
	// the cloud checks Content-MD5 and If-None-Match for all of it.
	"s3": {
		traits: cloud.Traits{Parallel: 4},
		always: map[string]string{
			"no_head": "true", "no_head_object": "true", "no_check_bucket": "true", "upload_cutoff": "200Mi",
			"directory_markers": "false", "versions": "false", "version_at": "off", "decompress": "false",
		},
		retries: 1, http: true, lazy: true, clobber: refused,
	},
	// rclone would wait 10 ms between requests, of which a Put is four.
	"webdav": {
		traits:  cloud.Traits{Parallel: 4},
		usual:   map[string]string{"pacer_min_sleep": "0s"},
		retries: 2, http: true, folders: true, inPlace: true,
	},
	"sftp": {
		traits: cloud.Traits{Parallel: 4},
		always: map[string]string{
			"set_modtime": "false", // else the writer's clock
			"skip_links":  "true",
			// No shell: what would be run there is for hashes we do not ask for.
			"shell_type": "none", "disable_hashcheck": "true",
		},
		retries: 2, folders: true, inPlace: true,
	},
	"local": {
		always:  map[string]string{"no_set_modtime": "true", "no_check_updated": "true", "skip_links": "true", "copy_links": "false"},
		retries: 1, folders: true, inPlace: true,
	},
	// Searches by name lag behind listings, and both behind writes, for up to
	// minutes. use_created_date is the server's clock. A chunk larger than a
	// pack makes an upload two requests; and rclone cannot continue inside a
	// chunk. pacer_min_sleep: Google allows each person 325,000 units a
	// minute, a read being 5 of them. No retries: after a failure rclone sleeps
	// up to 16 s, for all requests, and cloud/retry is above us.
	"drive": {
		traits: cloud.Traits{Parallel: 4, Lag: 2 * time.Minute},
		always: map[string]string{
			"use_trash": "false", "skip_gdocs": "true", "skip_shortcuts": "true", "use_created_date": "true",
			"trashed_only": "false", "keep_revision_forever": "false",
		},
		usual:   map[string]string{"pacer_min_sleep": "10ms", "chunk_size": "32Mi"},
		retries: 1, http: true, folders: true, duplicates: true, sum: hash.MD5,
	},
	// One request at a time: rclone's session reads its cookies while answers
	// write them.
	"iclouddrive": {
		traits:  cloud.Traits{Parallel: 1, Lag: time.Minute},
		retries: 2, http: true, folders: true, blind: true,
	},
	"dropbox": {
		traits:  cloud.Traits{Parallel: 4},
		usual:   map[string]string{"batch_mode": "off"},
		retries: 2, http: true, folders: true, sum: dropbox.DbHashType,
	},
	"onedrive": {
		traits:  cloud.Traits{Parallel: 4, Lag: time.Minute},
		retries: 3, http: true, folders: true, sum: onedrive.QuickXorHashType,
	},
	"b2": {
		traits:  cloud.Traits{Parallel: 4},
		always:  map[string]string{"hard_delete": "true", "versions": "false", "version_at": "off", "disable_checksum": "false"},
		retries: 2, http: true,
	},
}
