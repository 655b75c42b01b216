package llm

// Traced counts how often the passes for a cache of all positions were compiled.
func Traced(m *Loaded) (decode, verify int) {
	s := m.steps.of(KVOptions{}.kind())
	return s.decode.Traces(), s.verify.Traces()
}
