package backup

// Secrets hands a test the keys that must be found nowhere.
func (r *Repo) Secrets() (secrets [][]byte) {
	secrets = append(secrets, r.ring.idKey[:])
	for i := range r.ring.keys {
		secrets = append(secrets, r.ring.keys[i].secret[:])
	}
	return secrets
}

// ChunkDigest gives the chunk id of a key ring of zeros.
func ChunkDigest() func([]byte) ID { return newDigester(&ring{}).id }

// ChunkDigest gives the chunk id that contents have in a repository.
func (r *Repo) ChunkDigest() func([]byte) ID { return newDigester(r.ring).id }

// Compressors are the ways to compress; each returns the stored length.
func Compressors() map[string]func([]byte) int {
	return map[string]func([]byte) int{
		"zstd, fastest": func(b []byte) int { _, out := compress(b, nil, zstdFastest()); return len(out) },
		"zstd, better":  func(b []byte) int { _, out := compress(b, nil, zstdBetter()); return len(out) },
		"snappy":        func(b []byte) int { _, out := compressFast(b, nil); return len(out) },
	}
}

// Warm makes what a process makes once, before a test in a bubble does.
func Warm() {
	for _, f := range Compressors() {
		f(make([]byte, 1<<10))
	}
	zstdDecoder()
}
