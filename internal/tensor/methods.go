package tensor

import "iter"

// Python's operators. The operand is an *Array or a Go number or bool; a number
// is weak: it takes the array's dtype if its kind fits. Anything else panics.

// Add is a + b.
func (a *Array) Add(b any) *Array { return BinaryAny(OpAdd, a, b, Stream{}) }

// Sub is a - b.
func (a *Array) Sub(b any) *Array { return BinaryAny(OpSubtract, a, b, Stream{}) }

// Mul is a * b.
func (a *Array) Mul(b any) *Array { return BinaryAny(OpMultiply, a, b, Stream{}) }

// Div is a / b: true division, integers give float32.
func (a *Array) Div(b any) *Array { return BinaryAny(OpDivide, a, b, Stream{}) }

// FloorDiv is a // b: down to an integer, also of negative numbers; an integer by 0 is 0.
func (a *Array) FloorDiv(b any) *Array { return BinaryAny(OpFloorDivide, a, b, Stream{}) }

// Mod is a % b, with the sign of b; an integer by 0 is 0.
func (a *Array) Mod(b any) *Array { return BinaryAny(OpRemainder, a, b, Stream{}) }

// Pow is a ** b.
func (a *Array) Pow(b any) *Array { return BinaryAny(OpPower, a, b, Stream{}) }

// MatMul is a @ b.
func (a *Array) MatMul(b *Array) *Array { return MatMulOf(a, b, Stream{}) }

// Neg is -a.
func (a *Array) Neg() *Array { return UnaryOf(OpNegative, a, Stream{}) }

// Abs is abs(a).
func (a *Array) Abs() *Array { return UnaryOf(OpAbs, a, Stream{}) }

// Eq is a == b, element by element.
func (a *Array) Eq(b any) *Array { return BinaryAny(OpEqual, a, b, Stream{}) }

// Ne is a != b.
func (a *Array) Ne(b any) *Array { return BinaryAny(OpNotEqual, a, b, Stream{}) }

// Lt is a < b.
func (a *Array) Lt(b any) *Array { return BinaryAny(OpLess, a, b, Stream{}) }

// Le is a <= b.
func (a *Array) Le(b any) *Array { return BinaryAny(OpLessEqual, a, b, Stream{}) }

// Gt is a > b.
func (a *Array) Gt(b any) *Array { return BinaryAny(OpGreater, a, b, Stream{}) }

// Ge is a >= b.
func (a *Array) Ge(b any) *Array { return BinaryAny(OpGreaterEqual, a, b, Stream{}) }

// And is a & b: bitwise, logical for bool.
func (a *Array) And(b any) *Array { return BinaryAny(OpBitwiseAnd, a, b, Stream{}) }

// Or is a | b.
func (a *Array) Or(b any) *Array { return BinaryAny(OpBitwiseOr, a, b, Stream{}) }

// Xor is a ^ b.
func (a *Array) Xor(b any) *Array { return BinaryAny(OpBitwiseXor, a, b, Stream{}) }

// Not is ~a.
func (a *Array) Not() *Array { return UnaryOf(OpBitwiseInvert, a, Stream{}) }

// Shl is a << b.
func (a *Array) Shl(b any) *Array { return BinaryAny(OpLeftShift, a, b, Stream{}) }

// Shr is a >> b.
func (a *Array) Shr(b any) *Array { return BinaryAny(OpRightShift, a, b, Stream{}) }

// AsType is a.astype(d).
func (a *Array) AsType(d DType) *Array { return AsType(a, d, Stream{}) }

// Reshape is a.reshape(dims); one dim may be -1.
func (a *Array) Reshape(dims ...int) *Array { return ReshapeTo(a, dims, Stream{}) }

// Flatten is a.flatten(): one axis.
func (a *Array) Flatten() *Array { return ReshapeTo(a, []int{a.Size()}, Stream{}) }

// Squeeze is a.squeeze(axes): drop axes of size 1, all of them if none is given.
func (a *Array) Squeeze(axes ...int) *Array { return Squeeze(a, axes, Stream{}) }

// ExpandDims is mx.expand_dims(a, axes): axes of size 1 at these places of the result.
func (a *Array) ExpandDims(axes ...int) *Array { return ExpandDims(a, axes, Stream{}) }

// Transpose is a.transpose(axes): reversed if none is given.
func (a *Array) Transpose(axes ...int) *Array {
	if len(axes) == 0 {
		axes = make([]int, a.NDim())
		for i := range axes {
			axes[i] = len(axes) - 1 - i
		}
	}
	return TransposeTo(a, axes, Stream{})
}

// T is a.T: all axes reversed.
func (a *Array) T() *Array { return a.Transpose() }

// SwapAxes is a.swapaxes(i, j).
func (a *Array) SwapAxes(i, j int) *Array { return SwapAxes(a, i, j, Stream{}) }

// MoveAxis is a.moveaxis(from, to).
func (a *Array) MoveAxis(from, to int) *Array { return MoveAxis(a, from, to, Stream{}) }

// View is a.view(d): the same bytes as another dtype.
func (a *Array) View(d DType) *Array { return ViewAs(a, d, Stream{}) }

// BroadcastTo is mx.broadcast_to(a, shape).
func (a *Array) BroadcastTo(dims ...int) *Array { return BroadcastTo(a, dims, Stream{}) }

// All is "for i, row in enumerate(a)": the slices along the first axis.
func (a *Array) All() iter.Seq2[int, *Array] {
	if a.NDim() == 0 {
		Throw("iterate", []Spec{SpecOf(a)}, "a scalar has no axis; use Item")
	}
	n := a.Dim(0)
	rest := a.Shape()[1:]
	return func(yield func(int, *Array) bool) {
		for i := range n {
			if !yield(i, ReshapeTo(SliceAxis(a, 0, i, i+1, Stream{}), rest, Stream{})) {
				return
			}
		}
	}
}
