package backup

// SetPackTarget makes packs smaller, so that a little data makes many, and returns what undoes that.
func SetPackTarget(n int) (undo func()) {
	was := packTarget
	packTarget = n
	return func() { packTarget = was }
}
