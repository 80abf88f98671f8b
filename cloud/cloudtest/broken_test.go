package cloudtest_test

import (
	"context"
	"io"

	"keepsake.example/cloud"
	"keepsake.example/cloud/cloudtest"
)

type memory = cloudtest.Memory

// hooked is a memory with some methods replaced.
type hooked struct {
	*memory
	put  func(ctx context.Context, name string, body io.ReadSeeker, size int64) error
	get  func(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
	list func(ctx context.Context, prefix string, fn func(cloud.Info) error) error
	del  func(ctx context.Context, name string) error
	stat func(ctx context.Context, name string) (cloud.Info, error)
}

func (h hooked) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	if h.put != nil {
		return h.put(ctx, name, body, size)
	}
	return h.memory.Put(ctx, name, body, size)
}

func (h hooked) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if h.get != nil {
		return h.get(ctx, name, offset, length)
	}
	return h.memory.Get(ctx, name, offset, length)
}

func (h hooked) List(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
	if h.list != nil {
		return h.list(ctx, prefix, fn)
	}
	return h.memory.List(ctx, prefix, fn)
}

func (h hooked) Delete(ctx context.Context, name string) error {
	if h.del != nil {
		return h.del(ctx, name)
	}
	return h.memory.Delete(ctx, name)
}

func (h hooked) Stat(ctx context.Context, name string) (cloud.Info, error) {
	if h.stat != nil {
		return h.stat(ctx, name)
	}
	return h.memory.Stat(ctx, name)
}

type breakage struct {
	store    func(m *memory) cloud.Store
	caughtBy []string
}

var broken = map[string]breakage{
	"clobbers":                       {clobbers, []string{"no-clobber", "empty-object", "concurrent-same-name"}},
	"clobbers when raced":            {clobbersWhenRaced, []string{"concurrent-same-name"}},
	"clobbers with nothing":          {clobbersWithNothing, []string{"empty-object", "no-clobber"}},
	"mixes racing writers":           {mixesWriters, []string{"concurrent-same-name"}},
	"shows part of an object":        {showsPart, []string{"atomic"}},
	"lists before it is there":       {listsEarly, []string{"atomic"}},
	"keeps a short body":             {keepsShort, []string{"wrong-size"}},
	"cuts a long body":               {cutsLong, []string{"wrong-size"}},
	"keeps half of a failing body":   {keepsHalf, []string{"failing-body"}},
	"blames the cloud for the body":  {blamesCloud, []string{"failing-body"}},
	"finishes a cancelled put":       {finishesCancelled, []string{"cancelled-put"}},
	"starts with a dead context":     {ignoresContext, []string{"cancelled-before", "cancelled-put", "cancelled-get"}},
	"reads on after cancel":          {readsOn, []string{"cancelled-get"}},
	"ignores the offset":             {lyingOffset, []string{"ranges", "range-past-end", "concurrent-reads"}},
	"gives the whole to the end":     {lyingLength, []string{"ranges", "range-past-end", "concurrent-reads", "empty-object"}},
	"ends short reads quietly":       {quietEnd, []string{"range-past-end", "empty-object"}},
	"forgets deletes":                {forgetsDeletes, []string{"delete", "list-deleting", "names"}},
	"deletes what is not there":      {deletesAbsent, []string{"absent", "delete"}},
	"lists what was deleted":         {listsDeleted, []string{"delete", "list-deleting", "names"}},
	"deletes by prefix":              {deletesByPrefix, []string{"names"}},
	"lists one page":                 {listsOnePage, []string{"list-many"}},
	"lists a page's last name twice": {listsTwice, []string{"list-many", "list-deleting"}},
	"skips when deleting":            {skipsWhenDeleting, []string{"list-deleting"}},
	"lists whole folders only":       {listsFolders, []string{"list-prefix", "concurrent-same-name"}},
	"goes on listing":                {listsOn, []string{"list-stops"}},
	"hides the caller's error":       {hidesError, []string{"list-stops"}},
	"corrupts big objects":           {corruptsBig, []string{"large-object"}},
	"lists another time":             {listsAnotherTime, []string{"read-after-write"}},
	"lists late": {listsLate, []string{"bad-names", "concurrent-names", "concurrent-same-name", "empty-object", "list-deleting",
		"list-many", "list-prefix", "list-stops", "names", "no-clobber", "read-after-write"}},
	"loses one of several":     {losesRaced, []string{"concurrent-names"}},
	"shares one read position": {sharesPosition, []string{"concurrent-reads"}},
	"cuts long names":          {cutsNames, []string{"names"}},
	"takes any name":           {takesAnyName, []string{"bad-names"}},
	"is racy":                  {racy(oneStands), nil},
	"is racy unannounced":      {oneStands, []string{"concurrent-same-name"}},
	"is racy and mixes":        {racy(mixesWriters), []string{"concurrent-same-name"}},
	"is racy and lists both":   {racy(listsBoth), []string{"concurrent-same-name"}},
	"is racy and deletes one":  {racy(deletesOne), []string{"concurrent-same-name"}},
	"is racy and overwrites":   {racy(clobbers), []string{"concurrent-same-name", "empty-object", "no-clobber"}},
	"calls a bad name absent":  {badIsAbsent, []string{"bad-names"}},
	"has no empty objects":     {noEmpty, []string{"empty-object", "list-prefix"}},
}
