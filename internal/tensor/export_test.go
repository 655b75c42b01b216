package tensor

// RaceEnabled: in race builds all memory is on Go's heap and has no limit.
const RaceEnabled = raceEnabled

// Schedule commits the work of as without starting it where the queue waits to be
// waited for: stream 0.
func Schedule(as ...*Array) error {
	_, err := schedule(as)
	return err
}

// SignalBesideAllocation ends a batch while somebody asks whether it is done, as
// the allocator does without the graph lock.
func SignalBesideAllocation() {
	b := &batch{st: stateOf(resolve(Stream{}))}
	asked := make(chan bool)
	go func() { asked <- b.done() }()
	graph.Lock()
	b.signal()
	graph.Unlock()
	<-asked
}
