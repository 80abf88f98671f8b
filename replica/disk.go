package replica

import "io"

// Disk is the folder of one replica, as the replica sees it. The zero Config
// takes a real one; a simulator brings its own. Nothing is trusted but that it
// reports what it failed to do: what is read is checked, and what changed after it
// was written is found (spec/replication.md §4).
type Disk interface {
	// List returns the names of the files, in no order.
	List() ([]string, error)
	// Open opens a file that is there.
	Open(name string) (File, error)
	// Create starts a file without a name.
	Create() (Draft, error)
	// Scratch makes a file that only its maker sees, without a name: it is gone
	// when it is closed, and after a crash.
	Scratch() (File, error)
	// Remove removes files, none of which has to be there. They stay removed
	// after a power cut.
	Remove(names ...string) error
	// Close frees the folder for another process.
	Close() error
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	// Size returns the length in bytes.
	Size() (int64, error)
	// Sync makes the bytes durable. After an error nothing is known of them.
	Sync() error
	io.Closer
}

// Draft is a file that nobody reads yet.
type Draft interface {
	io.Writer
	// Sync makes what was written so far durable, so that Publish is quick.
	Sync() error
	// Publish makes the file durable, then visible under a name that is not
	// there yet, then the name durable. After an error the name can be there or not.
	Publish(name string) error
	// Close ends the writing; without a Publish the file is gone.
	io.Closer
}
