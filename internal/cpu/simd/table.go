package simd

import (
	"fmt"
	"os"
	"strings"
)

// Table is the set of kernels of one tier. Every field is set in every tier: a
// tier that has no kernel of its own for a field takes the pure one.
type Table struct {
	Name string

	// Converters. len(dst) >= len(src). Rounding is to nearest, ties to even;
	// NaN stays NaN (quiet), float16 overflows to Inf.
	F16ToF32  func(dst []float32, src []uint16)
	F32ToF16  func(dst []uint16, src []float32)
	BF16ToF32 func(dst []float32, src []uint16)
	F32ToBF16 func(dst []uint16, src []float32)
	// Load converts src to float32: len(dst) elements.
	Load func(dst []float32, src Raw)
	// Store rounds src to the type of dst: len(src) elements.
	Store func(dst Raw, src []float32)
	// Round rounds x in place to the values that t can hold.
	Round func(x []float32, t Elem)

	// Dot returns Σ x[i]·y[i] over len(x) elements.
	Dot func(x, y []float32) float32
	// Sum returns Σ x[i].
	Sum func(x []float32) float32

	// GemmNT: y[i,j] = Σ_k x[i,k]·w[j,k], i < m, j < n; w is [n,k].
	// Cut work by rows of w: pass w.Slice(j0*ldw, …) and y[j0:].
	GemmNT func(y []float32, ldy int, x []float32, ldx, m int, w Raw, ldw, n, k int)
	// GemmNN: y[i,j] = Σ_k x[i,k]·w[k,j], i < m, j < n; w is [k,n].
	// Cut work by columns of w: pass w.Slice(j0, …) and y[j0:].
	GemmNN func(y []float32, ldy int, x []float32, ldx, m int, w Raw, ldw, n, k int)

	// QPlan says how QGemmNT multiplies m rows of x by q, whose memory is not
	// read: only its shape and scheme count.
	QPlan func(q *QMatrix, m int, p Precision) QPlan
	// PlansDense reports whether QPlan takes a Dense matrix of k columns for m
	// rows of x, which it then multiplies in bfloat16 with either precision.
	PlansDense func(m, k int) bool
	// QPlanAcross says how QGemmNT multiplies m rows of x, bfloat16, by q itself, which
	// is [K,N], its weights rounded to bfloat16; ok is false where QGemmNN must do it.
	QPlanAcross func(q *QMatrix, m int) (pl QPlan, ok bool)
	// QPrep brings rows [i0, i1) of x, [M,K] row-major, into the form that
	// QGemmNT reads. It is called for all rows in each of pl.Passes passes; the
	// ranges of a pass may run at the same time.
	QPrep func(pl *QPlan, pass int, prep []byte, x Raw, q *QMatrix, i0, i1 int, scratch []byte)
	// QGemmNT: y[i-i0,j-n0] = Σ_k x[i,k]·deq(q)[j,k] for rows i in [i0, i1) of x
	// and j in [n0, n1) of q.
	QGemmNT func(pl *QPlan, y Raw, ldy int, prep []byte, q *QMatrix, i0, i1, n0, n1 int, scratch []byte)
	// QScratchLen is the length of the scratch of one QGemmNN call over m rows of
	// x; concurrent calls need one each.
	QScratchLen func(q *QMatrix, m int) int
	// QGemmNN: y[i,j-n0] = Σ_k x[i,k]·deq(q)[k,j] for columns j in [n0,n1) of
	// q, which is [K,N] packed along N. n0 is a multiple of q.Group, and so is
	// n1 (q.Cols is one).
	QGemmNN func(y []float32, ldy int, x []float32, ldx, m int, q *QMatrix, n0, n1 int, scratch []float32)
	// DequantRow writes row of q as values of t: affine t(t(code·s)+b), fp
	// modes t(code·s). len(dst) >= q.Cols.
	DequantRow func(dst []float32, q *QMatrix, row int, t Elem)
	// QuantizeRow packs the values x of one row, all representable in p.Elem.
	// len(words) = len(x)·Bits/32; scales (and biases, affine only) hold
	// len(x)/Group elements of p.Elem, or bytes in the fp modes.
	QuantizeRow func(words []uint32, scales, biases []byte, x []float32, p QParams)

	// RMSNorm: y = t(x·n)·w with n = 1/sqrt(mean(x²)+eps). A zero w is all ones.
	RMSNorm func(y, x []float32, w Raw, eps float32, t Elem)
	// LayerNorm: y = t(t((x-mean)·n)·w) + b with n = 1/sqrt(var+eps), var the
	// mean of (x-mean)². A zero w is all ones, a zero b all zeros.
	LayerNorm func(y, x []float32, w, b Raw, eps float32, t Elem)

	// Softmax: y = exp(x-max)/Σexp(x-max); y may be x. NaN in any place and
	// rows of only -Inf give NaN.
	Softmax func(y, x []float32)
	// LogSumExp returns max + log Σexp(x-max); -Inf for an empty row.
	LogSumExp func(x []float32) float32

	// RopeTable fills cos and sin of θ_i = pos·inv[i], float32 product, with inv
	// of RopeInv and pos = (offset+t)·scale.
	RopeTable func(cos, sin []float32, pos float32, inv []float32)
	// RopePeriods fills cos and sin of θ_i = pos/periods[i], float32 quotient.
	RopePeriods func(cos, sin []float32, pos float32, periods []float32)
	// Rope rotates the first 2·len(cos) values of x by θ and copies the rest:
	// pairs (2i, 2i+1) if traditional, else (i, i+len(cos)). Inverse rotates by
	// -θ. y may be x.
	Rope func(y, x, cos, sin []float32, traditional, inverse bool)

	// AttendPartScratchLen is the length of the scratch of one AttendPart call.
	AttendPartScratchLen func(a *Attention) int
	// AttendPart sets p to the attention over keys [from, to), from a multiple
	// of AttendSegment, see [Attend].
	AttendPart func(p AttentionPart, a *Attention, from, to int, scratch []float32)

	// Unary[op](y, x): y = op(x) over len(y) elements; y may be x.
	Unary [NumUnary]func(y, x []float32)
	// Binary[op](y, a, b): y = op(a, b) over len(y) elements; y may be a or b.
	Binary [NumBinary]func(y, a, b []float32)
	// MaxRows and MinRows: y = the extreme of y and four rows of x, ld elements apart.
	MaxRows func(y, x []float32, ld int)
	MinRows func(y, x []float32, ld int)
	// SwiGLU: y = gate·sigmoid(gate)·up.
	SwiGLU func(y, gate, up []float32)
	// Axpy: y += a·x.
	Axpy func(y []float32, a float32, x []float32)

	// ArgMax and ArgMin return the first index of the extremum; the first NaN
	// wins over everything. -1 for an empty row.
	ArgMax func(x []float32) int
	ArgMin func(x []float32) int
	// Max and Min return x[ArgMax(x)] and x[ArgMin(x)]; -Inf and +Inf for an
	// empty row.
	Max func(x []float32) float32
	Min func(x []float32) float32
	// FirstNaN returns the index of the first NaN, or -1.
	FirstNaN func(x []float32) int
}

// K is the table in use. Only [Select] changes it.
var K Table

// A tier is a registered table: available says whether this machine runs it.
// Tiers are in order of preference, the best first.
type tier struct {
	name      string
	available func() bool
	table     func() Table
}

var tiers = []tier{
	{"pure", func() bool { return true }, pureTable},
}

// envErr is why MLX_SIMD could not be obeyed.
var envErr error

func init() { envErr = fromEnv(os.Getenv("MLX_SIMD")) }

// fromEnv binds the tier that MLX_SIMD names, or the best one; K is bound also
// when it returns an error.
func fromEnv(name string) error {
	if err := Select(Available()[0]); err != nil {
		return err
	}
	if name == "" {
		return nil
	}
	if err := Select(name); err != nil {
		return fmt.Errorf("MLX_SIMD: %w", err)
	}
	return nil
}

// Err returns why the tier that MLX_SIMD names is not in use, or nil. The CPU
// backend returns it when it opens a stream: a wish that cannot be met must not
// pass silently, and init has no error to return.
func Err() error { return envErr }

// Available lists the tiers that this machine runs, the best first.
func Available() []string {
	var names []string
	for _, t := range tiers {
		if t.available() {
			names = append(names, t.name)
		}
	}
	return names
}

// Active returns the name of the tier in use.
func Active() string { return K.Name }

// Select binds K to the named tier. It is for tests and start-up: it must not
// run while kernels do. The error of an unknown or unavailable name lists the
// tiers that could be chosen.
func Select(name string) error {
	for _, t := range tiers {
		if t.name == name && t.available() {
			K = t.table()
			return nil
		}
	}
	return fmt.Errorf("simd: no tier %q on this machine; available: %s", name, strings.Join(Available(), ", "))
}

func noPlanAcross(*QMatrix, int) (pl QPlan, ok bool) { return pl, false }

func pureTable() Table {
	return Table{
		Name:     "pure",
		F16ToF32: f16ToF32, F32ToF16: f32ToF16, BF16ToF32: bf16ToF32, F32ToBF16: f32ToBF16,
		Load: load, Store: store, Round: round,
		Dot: dot, Sum: sum,
		GemmNT: gemmNT, GemmNN: gemmNN,
		QPlan: qPlan, PlansDense: func(m, k int) bool { return false }, QPlanAcross: noPlanAcross, QPrep: qPrep, QGemmNT: qGemmNT,
		QScratchLen: qScratchLen, QGemmNN: qGemmNN,
		DequantRow: dequantRow, QuantizeRow: quantizeRow,
		RMSNorm: rmsNorm, LayerNorm: layerNorm,
		Softmax: softmax, LogSumExp: logSumExp,
		RopeTable: ropeTable, RopePeriods: ropePeriods, Rope: rope,
		AttendPartScratchLen: attendPartScratchLen, AttendPart: attendPart,
		Unary: pureUnary, Binary: pureBinary, MaxRows: rowByRow(maximum), MinRows: rowByRow(minimum), SwiGLU: swiGLU, Axpy: axpy,
		ArgMax: argMax, ArgMin: argMin, Max: maxRow, Min: minRow, FirstNaN: firstNaN,
	}
}
