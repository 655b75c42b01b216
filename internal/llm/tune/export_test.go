package tune

// SetChunkBytes changes how large the logits of a piece may be, until the test ends.
func SetChunkBytes(n int) (restore func()) {
	old := chunkBytes
	chunkBytes = n
	return func() { chunkBytes = old }
}
