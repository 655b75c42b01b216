// Package distributed is mx.distributed: the same program on many machines, and
// operations that join their arrays. Start it with "mlx launch".
//
// The operations are lazy, like all others. They run on a stream of their own and in
// the order of the program, so all processes must apply the same ones in the same
// order; evaluating one evaluates those before it. A process that is lost, or that does
// something else, is an error of the evaluation on every process.
//
// A gradient is by this process's input, for a loss of this process's own: that of
// [AllSum] is the cotangent as it is, as in MLX; that of [AllMax] and [AllMin] goes to
// the processes that have the extremum; that of [AllGather] and [SumScatter] is this
// process's part.
package distributed

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Group is mx.distributed.Group: a set of processes. As an argument it is group=.
type Group struct{ comm *distributed.Comm }

// Rank is Group.rank: the number of this process in the group, from 0.
func (g *Group) Rank() int { return g.comm.Rank() }

// Size is Group.size: the number of processes.
func (g *Group) Size() int { return g.comm.Size() }

// Split is Group.split(color, key): processes of one color form a group, ranked by key
// and then by their old rank; a negative key stands for the rank. All processes of the
// group must call it. It is an error when a process was lost.
func (g *Group) Split(color, key int) (*Group, error) {
	c, err := g.comm.Split(color, key)
	if err != nil {
		return nil, err
	}
	return &Group{c}, nil
}

// Close tells the other processes that this one is done with the group and waits for
// what was sent; it is not in MLX. A program that ends without it is, to the others, a
// process that was lost, unless they are done too.
func (g *Group) Close() error { return g.comm.Close() }

// ForComm makes a group an argument of collectives: group=.
func (g *Group) ForComm(o *opt.Set) { o.SetGroup(g) }

// Option is a [*Group] (group=) or a stream. Without a group it is that of [Init];
// without a stream an operation runs on the group's own, beside the default one.
type Option = opt.Comm

// with reads the keywords of op.
func with(op string, opts []Option) (*distributed.Comm, mlx.Stream) {
	var set opt.Set
	for _, o := range opts {
		o.ForComm(&set)
	}
	s := tensor.OneStream(op, &set)
	g, _ := set.Group.(*Group)
	if g == nil {
		var err error
		if g, err = Init(); err != nil {
			panic(&mlx.Error{Op: op, Err: err})
		}
	}
	return g.comm, s
}

// AllSum is mx.distributed.all_sum: the sum of x over all processes, the same bits on
// each, with x's shape and dtype. All processes give the same shape and dtype. Sums of
// booleans are "or". In a group of one process it is x.
func AllSum(x *mlx.Array, opts ...Option) *mlx.Array {
	return reduce("all_sum", distributed.Sum, x, opts)
}

// AllMax is mx.distributed.all_max: the greatest elements over all processes, NaN where
// there is one. See [AllSum].
func AllMax(x *mlx.Array, opts ...Option) *mlx.Array {
	return reduce("all_max", distributed.Max, x, opts)
}

// AllMin is mx.distributed.all_min: the least elements over all processes, NaN where
// there is one. See [AllSum].
func AllMin(x *mlx.Array, opts ...Option) *mlx.Array {
	return reduce("all_min", distributed.Min, x, opts)
}

func reduce(op string, how distributed.ReduceOp, x *mlx.Array, opts []Option) *mlx.Array {
	c, s := with(op, opts)
	return c.AllReduceOf(how, x, s)
}

// AllGather is mx.distributed.all_gather: the x [n, ...] of all processes one after the
// other, [Size()*n, ...]; scalars make a vector. In a group of one process it is x.
func AllGather(x *mlx.Array, opts ...Option) *mlx.Array {
	c, s := with("all_gather", opts)
	return c.AllGatherOf(x, s)
}

// SumScatter is mx.distributed.sum_scatter: part Rank() of the sum of x [n, ...] over
// all processes, [n/Size(), ...]. It panics with *mlx.Error if Size() does not divide n.
// In a group of one process it is x.
func SumScatter(x *mlx.Array, opts ...Option) *mlx.Array {
	c, s := with("sum_scatter", opts)
	return c.ReduceScatterOf(distributed.Sum, x, s)
}

// Send is mx.distributed.send: x, which process dst gets when the result is evaluated,
// or a later operation of the group. It panics with *mlx.Error if there is no such other
// process.
func Send(x *mlx.Array, dst int, opts ...Option) *mlx.Array {
	c, s := with("send", opts)
	return c.SendOf(x, dst, s)
}

// Recv is mx.distributed.recv: what process src sends, which must be of this shape and
// dtype. Inside compiled and mapped functions use [RecvLike]. It panics with *mlx.Error
// if there is no such other process.
func Recv(shape mlx.Shape, d mlx.DType, src int, opts ...Option) *mlx.Array {
	c, s := with("recv", opts)
	return c.RecvOf(tensor.Spec{Shape: shape, DType: d}, src, s)
}

// RecvLike is mx.distributed.recv_like: [Recv] with the shape and dtype of x.
func RecvLike(x *mlx.Array, src int, opts ...Option) *mlx.Array {
	c, s := with("recv_like", opts)
	return c.RecvLikeOf(x, src, s)
}

// Barrier returns when all processes of the group have called it and have evaluated
// what they applied before. It is not in MLX, where an all_sum serves.
func Barrier(opts ...Option) error {
	c, s := with("barrier", opts)
	return c.Wait(s)
}
