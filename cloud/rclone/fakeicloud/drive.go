package fakeicloud

import (
	"crypto/rand"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	zone   = "com.apple.CloudDocs"
	rootID = "root"
	// trashDays is how long a deleted file stays in "Recently Deleted".
	trashDays = 30
)

// drive is the tree of one account's files.
type drive struct {
	now     func() time.Time
	items   map[string]*item
	changes uint64
	frozen  time.Time // listings show the tree as it was then; zero: they do not
}

// item is a file or a folder.
type item struct {
	id       string // docwsid
	parent   *item
	name     string // with extension
	folder   bool
	content  *content
	etag     uint64
	modified time.Time // as the client said
	since    time.Time // when it came to this place
	gone     time.Time // when it left; zero if it is there
	trashed  bool
	erased   bool
}

func newDrive(now func() time.Time) *drive {
	root := &item{id: rootID, folder: true}
	return &drive{now: now, items: map[string]*item{rootID: root}}
}

func newID() string {
	return strings.ToUpper(rand.Text()[:8] + "-" + rand.Text()[:4] + "-" + rand.Text()[:4] + "-" + rand.Text()[:12])
}

// find takes a drivewsid, "FOLDER::com.apple.CloudDocs::root", and gives the
// item when it is there and not deleted.
func (d *drive) find(drivewsid string) *item {
	parts := strings.Split(drivewsid, "::")
	if len(parts) != 3 || parts[1] != zone {
		return nil
	}
	i := d.items[parts[2]]
	if i == nil || i.kind() != parts[0] || !i.there() {
		return nil
	}
	return i
}

func (i *item) there() bool {
	for at := i; at != nil; at = at.parent {
		if at.trashed || at.erased {
			return false
		}
	}
	return true
}

func (i *item) kind() string {
	if i.folder {
		return "FOLDER"
	}
	return "FILE"
}

func (i *item) drivewsid() string { return i.kind() + "::" + zone + "::" + i.id }

func (i *item) size() int64 {
	if i.content == nil {
		return 0
	}
	return i.content.size
}

// add puts an item into the tree.
func (d *drive) add(i *item) *item {
	d.touch(i)
	i.since = d.now()
	d.items[i.id] = i
	return i
}

func (d *drive) touch(i *item) {
	d.changes++
	i.etag = d.changes
}

// trash moves an item to "Recently Deleted".
func (d *drive) trash(i *item) {
	d.touch(i)
	i.trashed, i.gone = true, d.now()
}

// erase deletes for good.
func (d *drive) erase(i *item) {
	if !i.trashed {
		i.gone = d.now()
	}
	d.touch(i)
	i.erased = true
}

// children lists what a listing made at the time when shows of a folder:
// things that came or went later are not seen to have done so.
func (d *drive) children(folder *item, when time.Time) []*item {
	var list []*item
	for _, i := range d.items {
		if i.parent == folder && !i.since.After(when) && (i.gone.IsZero() || i.gone.After(when)) {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b *item) int { return strings.Compare(a.name, b.name) })
	return list
}

// named finds a child as it is now, whatever listings show.
func (d *drive) named(folder *item, name string) *item {
	for _, i := range d.items {
		if i.parent == folder && !i.trashed && !i.erased && strings.EqualFold(i.name, name) {
			return i
		}
	}
	return nil
}

// free gives the name a new file gets: "name 2" when "name" is taken, as the
// Finder does.
func (d *drive) free(folder *item, name string) string {
	ext := path.Ext(name)
	for n, try := 2, name; ; n++ {
		if d.named(folder, try) == nil {
			return try
		}
		try = strings.TrimSuffix(name, ext) + " " + strconv.Itoa(n) + ext
	}
}

// used is what counts against the quota: deleted files till they are erased.
func (d *drive) used() (n int64) {
	for _, i := range d.items {
		if !i.erased {
			n += i.size()
		}
	}
	return n
}

// path of an item, from the root.
func (i *item) path() string {
	if i.parent == nil {
		return ""
	}
	return path.Join(i.parent.path(), i.name)
}

// describe is an item as drivews shows it.
func (d *drive) describe(i *item) object {
	o := object{
		"drivewsid": i.drivewsid(), "docwsid": i.id, "zone": zone, "name": i.name, "etag": i.tag(),
		"type": i.kind(), "dateCreated": stamp(i.since), "status": "OK",
	}
	if i.parent != nil {
		o["parentId"] = i.parent.drivewsid()
		o["item_id"] = "CJC_" + i.id
	}
	if i.trashed {
		o["parentId"], o["restorePath"] = "TRASH_ROOT", i.path()
		o["dateExpiration"] = stamp(i.gone.AddDate(0, 0, trashDays))
	}
	if i.folder {
		o["assetQuota"], o["shareCount"], o["shareAliasCount"] = 0, 0, 0
		o["directChildrenCount"] = len(d.children(i, d.now()))
		return o
	}
	if ext := path.Ext(i.name); len(ext) > 1 && ext != i.name {
		o["name"], o["extension"] = strings.TrimSuffix(i.name, ext), ext[1:]
	}
	o["size"] = i.size()
	o["dateModified"], o["dateChanged"], o["lastOpenTime"] = stamp(i.modified), stamp(i.since), stamp(i.modified)
	return o
}

// tag is the item's version; a file's has two halves, of its data and of its
// record (pyicloud: "2k::2j").
func (i *item) tag() string {
	t := strconv.FormatUint(i.etag, 36)
	if i.folder {
		return t
	}
	return fmt.Sprintf("%s::%s", t, t)
}

// stamp is a time as drivews writes it: to the second.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
