package nn

import (
	"math"
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Upsample is nn.Upsample: an axis of size n becomes one of int(n*scale). x is
// [N, spatial..., C]. As in MLX linear and cubic weights are float32, and so are results
// of half precision.
type Upsample struct {
	Scale        []float64 // one value for all spatial axes or one for each
	Mode         string    // "nearest" (""), "linear" or "cubic"
	AlignCorners bool      // the first and last elements stay at the ends; not for nearest
	// Antialias widens the kernels of linear and cubic where the size shrinks, and makes
	// cubic's parameter a -0.5 rather than -0.75. It excludes AlignCorners.
	Antialias bool
}

// Forward resizes the spatial axes. It panics with *mlx.Error for an unknown mode and
// for scales that do not fit x.
func (u *Upsample) Forward(x *mlx.Array) *mlx.Array {
	n := x.NDim() - 2
	if n < 1 {
		tensor.Throw("nn.upsample", []mlx.Spec{tensor.SpecOf(x)}, "needs an input [N, spatial..., C]")
	}
	scale := u.Scale
	if len(scale) == 1 {
		scale = slices.Repeat(scale, n)
	}
	if len(scale) != n {
		tensor.Throw("nn.upsample", []mlx.Spec{tensor.SpecOf(x)}, "%d scales for %d spatial axes", len(scale), n)
	}
	switch u.Mode {
	case "", "nearest", "linear", "cubic":
	default:
		tensor.Throw("nn.upsample", nil, "mode %q is not nearest, linear or cubic", u.Mode)
	}
	if u.Antialias && (u.AlignCorners || u.Mode == "" || u.Mode == "nearest") {
		tensor.Throw("nn.upsample", nil, "antialiasing is for linear and cubic, without AlignCorners")
	}
	for i, s := range scale {
		if !(s > 0) || s*float64(x.Dim(i+1)) > math.MaxInt32 {
			tensor.Throw("nn.upsample", []mlx.Spec{tensor.SpecOf(x)}, "scale %v of spatial axis %d does not fit", s, i)
		}
		x = u.axis(x, i+1, s)
	}
	return x
}

// axis resizes one axis: the result is a sum of products over the axes, so they can
// go one after the other.
func (u *Upsample) axis(x *mlx.Array, axis int, scale float64) *mlx.Array {
	n := x.Dim(axis)
	m := int(scale * float64(n))
	if n == 0 {
		return x
	}
	if u.Antialias {
		return mixed(x, axis, smoothSamples(n, scale, u.places(n, m, scale), u.Mode == "cubic"))
	}
	switch u.Mode {
	case "linear":
		return mixed(x, axis, linearSamples(n, u.places(n, m, scale)))
	case "cubic":
		return mixed(x, axis, cubicSamples(n, u.places(n, m, scale)))
	}
	if scale == math.Trunc(scale) {
		return mlx.Repeat(x, int(scale), mlx.Axis(axis))
	}
	return mlx.Take(x, mlx.FromSlice(nearestPlaces(n, m)), mlx.Axis(axis))
}

// nearestPlaces rounds the middles of the new elements when there are more of them,
// and their starts when there are fewer.
func nearestPlaces(n, m int) []int32 {
	at := make([]int32, m)
	for i := range at {
		v := float32(i) * float32(float64(n)/float64(m))
		if m > n {
			v = float32(math.RoundToEven(float64((float32(i)+0.5)*float32(float64(n)/float64(m)) - 0.5)))
		}
		at[i] = int32(min(max(v, 0), float32(n-1)))
	}
	return at
}

// places is where the m new elements lie between the n old ones, in float32.
func (u *Upsample) places(n, m int, scale float64) []float32 {
	step, start := 1/scale, 0.0
	if u.AlignCorners {
		step = 0
		if m > 1 {
			step = float64(n-1) / float64(m-1)
		}
	} else {
		start = (float64(m-1)*step - float64(n) + 1) / 2
	}
	at := make([]float32, m)
	for i := range at {
		at[i] = float32(i)*float32(step) - float32(start)
	}
	return at
}

// samples are the elements that make the new ones, with a weight each.
type samples struct {
	at     []int32
	weight []float32
}

func linearSamples(n int, places []float32) []samples {
	out := make([]samples, 2)
	for _, p := range places {
		v := min(max(float64(p), 0), float64(n-1))
		low := math.Floor(v)
		w := float32(v - low)
		out[0].add(low, 1-w)
		out[1].add(math.Ceil(v), w)
	}
	return out
}

func (s *samples) add(at float64, w float32) {
	s.at, s.weight = append(s.at, int32(at)), append(s.weight, w)
}

// cubicSamples weigh four neighbours by the cubic kernel with a = -0.75; those beyond
// an end are the end.
func cubicSamples(n int, places []float32) []samples {
	out := make([]samples, 4)
	for _, p := range places {
		low := math.Floor(float64(p))
		for i := range out {
			at := low + float64(i-1)
			out[i].add(min(max(at, 0), float64(n-1)), float32(cubicWeight(math.Abs(float64(p)-at), -0.75)))
		}
	}
	return out
}

// cubicWeight is the cubic kernel with parameter a at distance x.
func cubicWeight(x, a float64) float64 {
	switch {
	case x <= 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x <= 2:
		return (((x-5)*x+8)*x - 4) * a
	}
	return 0
}

// smoothSamples weigh all neighbours under a triangle or the cubic kernel, which is as
// wide as the step between places if that is above 1. Weights sum to 1; there are none
// beyond the ends.
func smoothSamples(n int, scale float64, places []float32, cubic bool) []samples {
	radius, kernel := 1.0, func(x float64) float64 { return max(1-x, 0) }
	if cubic {
		radius, kernel = 2, func(x float64) float64 { return cubicWeight(x, -0.5) }
	}
	wide := max(1/scale, 1)
	taps := int(math.Ceil(radius * wide))
	out := make([]samples, 2*taps+1)
	weights := make([]float64, len(out))
	for _, p := range places {
		low, sum := math.Floor(float64(p)), 0.0
		for i := range out {
			at := low + float64(i-taps)
			weights[i] = 0
			if at >= 0 && at < float64(n) {
				weights[i] = kernel(math.Abs(float64(p)-at) / wide)
			}
			sum += weights[i]
		}
		if sum <= 0 {
			sum = 1
		}
		for i, w := range weights {
			at := low + float64(i-taps)
			out[i].add(min(max(at, 0), float64(n-1)), float32(w/sum))
		}
	}
	return slices.DeleteFunc(out, func(s samples) bool {
		return !slices.ContainsFunc(s.weight, func(w float32) bool { return w != 0 })
	})
}

// mixed is the sum of the samples of an axis.
func mixed(x *mlx.Array, axis int, all []samples) *mlx.Array {
	shape := make([]int, x.NDim())
	for i := range shape {
		shape[i] = 1
	}
	shape[axis] = len(all[0].at)
	var sum *mlx.Array
	for _, s := range all {
		w := mlx.FromSlice(s.weight, shape...)
		y := mlx.Take(x, mlx.FromSlice(s.at), mlx.Axis(axis)).Mul(w)
		if sum == nil {
			sum = y
		} else {
			sum = sum.Add(y)
		}
	}
	return sum
}
