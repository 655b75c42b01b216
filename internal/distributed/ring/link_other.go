//go:build !unix

package ring

// read reads some of p.
func (l *link) read(p []byte, patient bool) (int, error) { return l.conn.Read(p) }

// writeSome leaves all to the background: there is no way not to wait.
func (l *link) writeSome() (int, error) { return 0, nil }

func (l *link) tryRead(uintptr) bool  { return false }
func (l *link) tryWrite(uintptr) bool { return false }
