package opt

// arrayOps are the keywords of scans, paddings and matrix products.
type arrayOps struct {
	Reverse, Exclusive bool
	PadMode            string
	PadValue           float64
	Alpha, Beta        *float64
	SortedIndices      bool
}

// More families.
type (
	// Scan is axis=, reverse=, inclusive=, dtype= and stream=.
	Scan interface{ ForScan(*Set) }
	// Pad is mode=, constant_values= and stream=.
	Pad interface{ ForPad(*Set) }
	// AddMM is alpha=, beta= and stream=.
	AddMM interface{ ForAddMM(*Set) }
	// GatherMM is sorted_indices= and stream=.
	GatherMM interface{ ForGatherMM(*Set) }
)
