package backup

import (
	"errors"
	"os"
)

// same compares a file in the target, of the right size, with what the snapshot has: by the ids of its chunks, so that nothing is fetched for it. One that
// cannot be read is not the same, and replaced.
func (x *restorer) same(e *entry) (bool, error) {
	f, err := x.root.OpenFile(e.path, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return false, nil
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return false, nil
	}
	if x.compare == nil {
		x.compare = &existing{d: newDigester(x.r.ring), buf: make([]byte, maxChunk)}
	}
	x.compare.f = f
	offset := int64(0)
	for _, a := range e.runs {
		length := min(int64(a.count)*int64(e.unit), e.size-offset)
		same, err := x.sameRun(e, a, offset, length)
		if errors.Is(err, ErrDamaged) {
			return false, nil // whoever plans the file says so
		}
		if err != nil || !same {
			return false, err
		}
		offset += length
	}
	return true, nil
}

// sameRun compares the chunks of one run.
func (x *restorer) sameRun(e *entry, a run, offset, length int64) (bool, error) {
	if a.pack == 0 {
		return x.sameZeros(offset, length)
	}
	places, err := x.r.index.resolve(a)
	if err != nil {
		return false, err
	}
	for _, place := range places {
		t, err := x.r.table(x.ctx, place.pack)
		if err != nil {
			return false, err
		}
		for _, id := range t.ids[place.first : place.first+place.count] {
			n := min(int64(e.unit), e.size-offset)
			if err := x.ctx.Err(); err != nil || !x.compare.holds(id, offset, n) {
				return false, err
			}
			offset += n
		}
	}
	return true, nil
}

func (x *restorer) sameZeros(offset, length int64) (bool, error) {
	for length > 0 {
		b := x.compare.buf[:min(length, int64(len(x.compare.buf)))]
		if err := x.ctx.Err(); err != nil {
			return false, err
		}
		if _, err := x.compare.f.ReadAt(b, offset); err != nil || !allZero(b) {
			return false, nil
		}
		offset, length = offset+int64(len(b)), length-int64(len(b))
	}
	return true, nil
}
