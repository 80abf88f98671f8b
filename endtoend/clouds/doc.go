// Package clouds holds the tests of backups to a cloud that fails: keepsake and
// keepsake-cloud as they are shipped, real servers (rclone's S3 and WebDAV, OpenSSH)
// each in a process of its own, and between them a proxy that resets, delays,
// refuses, falls silent, cuts off and lies (package cloud/faulty); and a fake of
// Google Drive (cloud/rclone/fakedrive), under Google's names. Nothing of the programs
// is linked. There is no code here but tests.
//
// What each test wants is the same: nothing is lost, the exit code and the words say
// what to do, the next run goes on where the last one was, and what is restored is
// what was there.
package clouds
