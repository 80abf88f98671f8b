package audit

// A File is what the log writes to.
type File = file

// WrapFile puts the file that wrap makes in place of the one being written.
// Nothing may be written meanwhile.
func WrapFile(l *Log, wrap func(File) File) { l.disk.file = wrap(l.disk.file) }

// Waiting counts the entries that wait for their round.
func Waiting(l *Log) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}
