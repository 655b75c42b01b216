package opt

// Comm is group= and stream= of collectives.
type Comm interface{ ForComm(*Set) }
