// Package cloudtest says in code what the backup engine needs of a
// cloud.Store. Every adapter runs it in its own tests:
//
//	func TestConformance(t *testing.T) {
//		cloudtest.Run(t, func(t *testing.T) cloud.Store { … })
//	}
//
// The suite's own tests hand it stores that are broken on purpose, and expect
// the right check to object to each.
package cloudtest

import (
	"context"
	"testing"

	"keepsake.example/cloud"
)

// Run runs every check as a subtest, each on a fresh, empty store from open.
// It stores about 100 MB and 3,000 objects in all. Errors are in [RunErrors].
func Run(t *testing.T, open func(t *testing.T) cloud.Store) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// RunSlow is Run with a tenth of the objects, for a back end that takes its
// time over each request.
func RunSlow(t *testing.T, open func(t *testing.T) cloud.Store) {
	fewer := map[string]func(t tester, s cloud.Store){
		"list-many":     func(t tester, s cloud.Store) { listAll(t, s, 200) },
		"list-deleting": func(t tester, s cloud.Store) { deleteHalf(t, s, 60) },
	}
	for _, c := range checks {
		if run, ok := fewer[c.name]; ok {
			c.run = run
		}
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// tester is the part of *testing.T that checks use, so that the suite's own
// tests can watch a check fail.
type tester interface {
	Helper()
	Context() context.Context
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// checks are named after the promise of cloud.Store that they test.
var checks = []struct {
	name string
	run  func(t tester, s cloud.Store)
}{
	{"read-after-write", readAfterWrite},
	{"empty-object", emptyObject},
	{"large-object", largeObject},
	{"ranges", ranges},
	{"range-past-end", rangePastEnd},
	{"concurrent-reads", concurrentReads},
	{"absent", absent},
	{"no-clobber", noClobber},
	{"delete", deleteObject},
	{"list-prefix", listPrefix},
	{"list-many", listMany},
	{"list-stops", listStops},
	{"list-deleting", listDeleting},
	{"names", names},
	{"bad-names", badNames},
	{"wrong-size", wrongSize},
	{"failing-body", failingBody},
	{"atomic", atomicVisibility},
	{"concurrent-names", concurrentNames},
	{"concurrent-same-name", concurrentSameName},
	{"cancelled-before", cancelledBefore},
	{"cancelled-put", cancelledPut},
	{"cancelled-get", cancelledGet},
}
