package tensor

// RaceEnabled: in race builds all memory is on Go's heap and has no limit.
const RaceEnabled = raceEnabled
