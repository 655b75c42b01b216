// Package distributed joins the arrays of many processes: what a group of processes
// is, and the collective ops that it runs. The backends are packages below it.
package distributed

import "github.com/mlxgo/mlx/internal/dtype"

// A Group is this process's end of a set of processes that run the same program.
//
// Its methods block until this process's part is done. They are called by one
// goroutine at a time, and by all processes of the group in the same order. Data are
// row-major elements of dtype d, in the byte order of the machine. An error names the
// peer at fault, and leaves the group unusable: later calls return it again.
type Group interface {
	// Rank is the number of this process, from 0.
	Rank() int
	// Size is the number of processes.
	Size() int
	// Split makes groups of the processes that give the same color, ranked by key and
	// then by rank; a negative key stands for the rank. All processes call it.
	Split(color, key int) (Group, error)
	// AllReduce replaces v by the elementwise sum, maximum or minimum over all
	// processes, the same bits on each.
	AllReduce(op ReduceOp, d dtype.DType, v []byte) error
	// AllGather puts the in of all processes, in order of rank, into out, which is
	// Size() times as long.
	AllGather(d dtype.DType, in, out []byte) error
	// ReduceScatter gives out part Rank() of the elementwise op over the in of all
	// processes; in is Size() times as long and stays as it is.
	ReduceScatter(op ReduceOp, d dtype.DType, in, out []byte) error
	// Send gives v to process to, which calls Recv.
	Send(d dtype.DType, v []byte, to int) error
	// Recv fills v with what process from sends.
	Recv(d dtype.DType, v []byte, from int) error
	// Barrier returns when all processes have called it.
	Barrier() error
	// Close tells the others that this process is done, and frees what the group holds.
	Close() error
}

// ReduceOp is how processes' elements are joined.
type ReduceOp uint8

// The ops of collectives. Sums of booleans are "or", as in MLX; Max and Min give NaN
// when any of the elements is NaN; complex numbers compare by real, then imaginary part.
const (
	Sum ReduceOp = iota
	Max
	Min
)

func (o ReduceOp) String() string { return [...]string{"sum", "max", "min"}[o] }
