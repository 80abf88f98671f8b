package fakedrive_test

import (
	"errors"
	"slices"
	"testing"

	"keepsake.example/cloud"
	"keepsake.example/cloud/rclone/fakedrive"
)

// twoOfAName is a drive with two files called snap/aa. Of the deletions, which are counted, the nth fails.
func twoOfAName(t *testing.T, nth int, with fakedrive.Fault) (d *drive, deletions *int) {
	d, deletions = startDrive(t, fakedrive.Config{}), new(int)
	put(t, d.open(true), "snap/aa", []byte("content"))
	if err := d.PlantCopy(d.at("snap/aa"), 3); err != nil {
		t.Fatal(err)
	}
	d.Inject(func(c fakedrive.Call) fakedrive.Fault {
		if c.Op != fakedrive.OpDelete && c.Op != fakedrive.OpUpdate {
			return fakedrive.Fault{}
		}
		if *deletions++; *deletions-1 == nth {
			return with
		}
		return fakedrive.Fault{}
	})
	return d, deletions
}

// Of two files of one name each may be the one whose deletion fails: Delete must not say that the object is gone while one of them is there.
func TestDeletingOneOfTwoFails(t *testing.T) {
	for nth := range 2 {
		d, _ := twoOfAName(t, nth, fakedrive.Fault{Status: 403, Reason: "insufficientFilePermissions", Message: "no"})
		s := d.open(false)
		err := s.Delete(t.Context(), "snap/aa")
		d.Inject(nil)
		if !errors.Is(err, cloud.ErrDenied) || len(d.Files(d.at("snap/aa"))) == 0 {
			t.Errorf("deletion %d failed: Delete says %v, %d files are there", nth+1, err, len(d.Files(d.at("snap/aa"))))
		}
		if _, err := s.Stat(t.Context(), "snap/aa"); err != nil {
			t.Errorf("deletion %d failed, and then: %v", nth+1, err)
		}
		if err := s.Delete(t.Context(), "snap/aa"); err != nil || slices.Contains(d.Names(d.at("snap")), "aa") {
			t.Errorf("deleting again: %v, there are %q", err, d.Names(d.at("snap")))
		}
	}
}

// A file that somebody else deleted meanwhile does not keep the other of its name there.
func TestDeletingOneOfTwoThatIsGone(t *testing.T) {
	for nth := range 2 {
		d, deletions := twoOfAName(t, nth, fakedrive.Fault{Status: 404, Reason: "notFound", Message: "File not found"})
		s := d.open(false)
		err := s.Delete(t.Context(), "snap/aa")
		if err != nil || *deletions != 2 {
			t.Errorf("file %d was gone: %v after %d deletions", nth+1, err, *deletions)
		}
	}
}
