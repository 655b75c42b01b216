package ruler

// SetLogitBytes makes pieces small, and gives back what makes them as they were.
func SetLogitBytes(n int) (restore func()) {
	old := logitBytes
	logitBytes = n
	return func() { logitBytes = old }
}
