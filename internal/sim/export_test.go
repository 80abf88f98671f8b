package sim

// Forget lets the next run found its fleet again.
func Forget() { clear(templates) }
