package sim

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"syscall"

	"keepsake.example/replica"
)

var (
	errPower = errors.New("the power is gone")
	errIO    = errors.New("input/output error")
)

// power feeds one machine's disk and anchor. It counts their durable steps, and
// goes at one of them.
type power struct {
	steps int
	limit int  // the step at which it goes, or that fails; 0: none
	once  bool // that step fails, and those after it do not
	gone  bool
}

// use is one durable step that is about to be done, and says whether it fails.
func (p *power) use() error {
	p.steps++
	switch {
	case p.gone:
		return errPower
	case p.limit == 0 || p.steps < p.limit:
		return nil
	}
	p.limit = 0
	if p.once {
		return errIO
	}
	p.gone = true
	return errPower
}

// disk is a replica's folder in memory. What was not synced when the power goes is
// lost, kept or torn.
type disk struct {
	*power
	now, durable map[string]*file // names, as seen and as they are after a power cut
	full         bool             // no room for another file
	liar         bool             // it says that it synced, and did not
	synced       int              // batches that it synced
}

// file is one file; its synced bytes and the writes since. What is shared with an image, or
// between the two, is copied before it is written to.
type file struct {
	data         []byte
	synced       []byte
	pending      []write
	sharedData   bool
	sharedSynced bool
}

// sealedFile is a file that holds these bytes, which others hold too.
func sealedFile(b []byte) *file {
	return &file{data: b, synced: b, sharedData: true, sharedSynced: true}
}

// writable returns the bytes to write to.
func (f *file) writable() []byte {
	if f.sharedData {
		f.data, f.sharedData = slices.Clone(f.data), false
	}
	return f.data
}

// sync lets the synced bytes follow.
func (f *file) sync() {
	if f.sharedSynced && len(f.pending) > 0 {
		f.synced, f.sharedSynced = slices.Clone(f.synced), false
	}
	for _, w := range f.pending {
		copy(f.synced[w.at:], w.data)
	}
	f.pending = nil
}

type write struct {
	at   int64
	data []byte
}

func newDisk(p *power) *disk {
	return &disk{power: p, now: map[string]*file{}, durable: map[string]*file{}}
}

// image is a copy of the folder as it is seen.
type image map[string][]byte

func (d *disk) image() image {
	i := make(image, len(d.now))
	for name, f := range d.now {
		f.sharedData = true
		i[name] = f.data[:len(f.data):len(f.data)]
	}
	return i
}

// load replaces the folder by an image.
func (d *disk) load(i image) {
	d.now = make(map[string]*file, len(i))
	for name, b := range i {
		d.now[name] = sealedFile(b)
	}
	d.durable = maps.Clone(d.now)
}

// cut is the folder after a power cut.
func (d *disk) cut(w *world) {
	names := maps.Clone(d.durable)
	for _, name := range sorted(d.durable) {
		if d.now[name] != d.durable[name] && w.chance(0.5) {
			delete(names, name)
		}
	}
	for _, name := range sorted(d.now) {
		if d.durable[name] != d.now[name] && w.chance(0.5) {
			names[name] = d.now[name]
		}
	}
	d.now = make(map[string]*file, len(names))
	for _, name := range sorted(names) {
		d.now[name] = sealedFile(names[name].cut(w))
	}
	d.durable = maps.Clone(d.now)
}

// sorted returns a map's names in the one order that a seed may depend on.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// cut is what a disk holds of a file: of each write that was not synced, any
// part, in sectors.
func (f *file) cut(w *world) []byte {
	const sector = 512
	if len(f.pending) == 0 {
		f.sharedSynced = true
		return f.synced
	}
	data := slices.Clone(f.synced)
	for _, p := range f.pending {
		how := w.random.IntN(3)
		for from := int64(0); from < int64(len(p.data)); {
			to := min(from+sector-(p.at+from)%sector, int64(len(p.data)))
			if how == 0 || how == 1 && w.chance(0.5) {
				copy(data[min(p.at+from, int64(len(data))):], p.data[from:to])
			}
			from = to
		}
	}
	return data
}

// List implements replica.Disk.
func (d *disk) List() ([]string, error) { return sorted(d.now), d.use() }

// Open implements replica.Disk.
func (d *disk) Open(name string) (replica.File, error) {
	if err := d.use(); err != nil {
		return nil, err
	}
	f, ok := d.now[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return opened{d, f}, nil
}

// Create implements replica.Disk.
func (d *disk) Create() (replica.Draft, error) {
	if d.full {
		return nil, syscall.ENOSPC
	}
	return &draft{d, new(file)}, d.use()
}

// Remove implements replica.Disk.
func (d *disk) Remove(names ...string) error {
	for _, name := range names {
		if err := d.use(); err != nil {
			return err
		}
		delete(d.now, name)
	}
	return d.syncNames()
}

func (d *disk) syncNames() error {
	err := d.use()
	if err == nil {
		d.durable = maps.Clone(d.now)
	}
	return err
}

// Close implements replica.Disk.
func (d *disk) Close() error { return nil }

type draft struct {
	d    *disk
	file *file
}

func (d *draft) Write(p []byte) (int, error) {
	if d.d.full {
		return 0, syscall.ENOSPC
	}
	d.file.data = append(d.file.data, p...)
	return len(p), d.d.use()
}

func (d *draft) Sync() error {
	err := d.d.use()
	if err == nil {
		f := d.file
		f.synced, f.sharedData, f.sharedSynced = f.data[:len(f.data):len(f.data)], true, true
	}
	return err
}

func (d *draft) Publish(name string) error {
	if err := d.Sync(); err != nil {
		return err
	}
	if err := d.d.use(); err != nil {
		return err
	}
	if _, ok := d.d.now[name]; ok {
		return fs.ErrExist
	}
	d.d.now[name] = d.file
	return d.d.syncNames()
}

func (d *draft) Close() error { return nil }

// Scratch implements replica.Disk: a file that is gone at a crash.
func (d *disk) Scratch() (replica.File, error) {
	if d.full {
		return nil, syscall.ENOSPC
	}
	return &scratch{opened{d, new(file)}}, d.use()
}

type scratch struct{ opened }

// WriteAt of a scratch file makes it longer.
func (s *scratch) WriteAt(p []byte, at int64) (int, error) {
	if err := s.d.use(); err != nil {
		return 0, err
	}
	if short := at + int64(len(p)) - int64(len(s.file.data)); short > 0 {
		s.file.data = append(s.file.data, make([]byte, short)...)
	}
	return copy(s.file.data[at:], p), nil
}

func (s *scratch) Sync() error { return s.d.use() }

type opened struct {
	d    *disk
	file *file
}

// ReadAt is not a step: what reads do not change needs no power cut of its own.
func (o opened) ReadAt(p []byte, at int64) (n int, err error) {
	if o.d.gone {
		return 0, errPower
	}
	if at < int64(len(o.file.data)) {
		n = copy(p, o.file.data[at:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt at which the power goes has begun to write.
func (o opened) WriteAt(p []byte, at int64) (int, error) {
	was := o.d.gone
	err := o.d.use()
	if err == nil || errors.Is(err, errPower) && !was {
		copy(o.file.writable()[at:], p)
		o.file.pending = append(o.file.pending, write{at, slices.Clone(p)})
	}
	return len(p), err
}

func (o opened) Sync() error {
	if err := o.d.use(); err != nil || o.d.liar {
		return err
	}
	o.d.synced++
	o.file.sync()
	return nil
}

func (o opened) Size() (int64, error) { return int64(len(o.file.data)), nil }
func (o opened) Close() error         { return nil }
