package mlx

import "github.com/mlxgo/mlx/internal/opt"

// Keyword arguments of scans, paddings and matrix products.
type (
	// ScanOption is [Axis], [Reverse], [Inclusive], a [DType] or a StreamOrDevice.
	ScanOption = opt.Scan
	// PadOption is [PadMode], [ConstantValue] or a StreamOrDevice.
	PadOption = opt.Pad
	// AddMMOption is [Alpha], [Beta] or a StreamOrDevice.
	AddMMOption = opt.AddMM
	// GatherMMOption is [SortedIndices] or a StreamOrDevice.
	GatherMMOption = opt.GatherMM
)

// DDof is ddof= of [Var] and [Std]: the divisor is n - ddof.
type DDof int

// Reverse is reverse= of scans: from the end.
type Reverse bool

// Inclusive is inclusive= of scans, true by default: whether an element counts for
// its own result.
type Inclusive bool

// PadMode is mode= of [Pad]: "constant" (the default), "edge", "reflect" or
// "symmetric".
type PadMode string

// ConstantValue is constant_values= of [Pad], 0 by default.
type ConstantValue float64

// Alpha is alpha= of [AddMM], 1 by default.
type Alpha float64

// Beta is beta= of [AddMM], 1 by default.
type Beta float64

// SortedIndices is sorted_indices=: a promise that the indices are sorted. It is a
// hint, the result is the same.
type SortedIndices bool

// ForReduce makes it the argument ddof=.
func (d DDof) ForReduce(s *opt.Set) { s.DDof = int(d) }

// ForScan makes it the argument axis=.
func (a Axis) ForScan(s *opt.Set) { s.SetAxes([]int{int(a)}) }

// ForScan makes it the argument reverse=.
func (r Reverse) ForScan(s *opt.Set) { s.Reverse = bool(r) }

// ForScan makes it the argument inclusive=.
func (i Inclusive) ForScan(s *opt.Set) { s.Exclusive = !bool(i) }

// ForPad makes it the argument mode=.
func (m PadMode) ForPad(s *opt.Set) { s.PadMode = string(m) }

// ForPad makes it the argument constant_values=.
func (v ConstantValue) ForPad(s *opt.Set) { s.PadValue = float64(v) }

// ForAddMM makes it the argument alpha=.
func (a Alpha) ForAddMM(s *opt.Set) { s.Alpha = (*float64)(&a) }

// ForAddMM makes it the argument beta=.
func (b Beta) ForAddMM(s *opt.Set) { s.Beta = (*float64)(&b) }

// ForGatherMM makes it the argument sorted_indices=.
func (i SortedIndices) ForGatherMM(s *opt.Set) { s.SortedIndices = bool(i) }
