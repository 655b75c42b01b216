package msltest

// T is what Check needs of testing.T.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Check fails a test for all that can be found in a kernel's source without running it:
// lint, mode Strict, mode Spaces. file is its name in messages.
func Check(t T, file, source string) {
	t.Helper()
	p, err := Parse(file, source)
	if err != nil {
		t.Fatalf("%v", err)
	}
	for _, l := range p.Lint() {
		t.Errorf("%s", l)
	}
	if len(p.Entries()) == 0 {
		t.Errorf("%s has no kernels", file)
	}
	for _, mode := range []Mode{Strict, Spaces} {
		if err := p.Check(mode); err != nil {
			t.Errorf("%v: %v", mode, err)
			return // Spaces can only be judged when Strict finds nothing
		}
	}
}
