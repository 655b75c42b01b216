package tensor

// RaceEnabled: in race builds all memory is on Go's heap and has no limit.
const RaceEnabled = raceEnabled

// Schedule commits the work of as without starting it where the queue waits to be
// waited for: stream 0.
func Schedule(as ...*Array) error {
	_, err := schedule(as)
	return err
}
