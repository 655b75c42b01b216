package nn_test

import (
	"math"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/optest"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/random"
)

func pool(average bool, kernel []int, o ...[]int) *nn.Pool {
	p := &nn.Pool{Average: average, Kernel: kernel}
	if len(o) > 0 {
		p.Stride = o[0]
	}
	if len(o) > 1 {
		p.Padding = o[1]
	}
	return p
}

// spatialLayers are the recorded layers of layers.json with spatial axes.
var spatialLayers = map[string]nn.Layer{
	"Conv1d":                 nn.NewConv1D(4, 6, 3, mlx.Stride{2}, mlx.Padding{1}),
	"Conv1d_groups_dilation": nn.NewConv1D(4, 8, 3, mlx.Dilation{2}, mlx.Groups(2), nn.Bias(false)),
	"Conv2d":                 nn.NewConv2D(3, 5, [2]int{3, 2}, mlx.Stride{2, 1}, mlx.Padding{1}),
	"Conv2d_depthwise":       nn.NewConv2D(4, 4, 3, mlx.Groups(4), mlx.Padding{1}),
	"Conv3d":                 nn.NewConv3D(2, 3, 2, mlx.Stride{1}, mlx.Padding{1}),
	"ConvTranspose1d":        nn.NewConvTranspose1D(4, 3, 3, mlx.Stride{2}, mlx.Padding{1}, mlx.OutputPadding{1}),
	"ConvTranspose2d":        nn.NewConvTranspose2D(3, 4, 3, mlx.Stride{2}, mlx.Padding{1}),
	"ConvTranspose3d":        nn.NewConvTranspose3D(2, 3, [3]int{2, 2, 2}, mlx.Stride{2}),
	"MaxPool1d":              pool(false, []int{3}, []int{2}, []int{1}),
	"AvgPool1d":              pool(true, []int{2}),
	"MaxPool2d":              pool(false, []int{2, 3}, []int{2, 1}),
	"AvgPool2d":              pool(true, []int{3, 3}, []int{2}, []int{1}),
	"MaxPool3d":              pool(false, []int{2, 2, 2}),
	"AvgPool3d":              pool(true, []int{2, 2, 2}, []int{1}),
	"Upsample_nearest":       &nn.Upsample{Scale: []float64{2}},
	"Upsample_linear":        &nn.Upsample{Scale: []float64{2, 1.5}, Mode: "linear"},
	"Upsample_linear_align":  &nn.Upsample{Scale: []float64{2}, Mode: "linear", AlignCorners: true},
	"Upsample_cubic":         &nn.Upsample{Scale: []float64{2}, Mode: "cubic"},
}

// TestSpatialLayers: results and gradients of sum(y^2) are the recorded ones.
func TestSpatialLayers(t *testing.T) {
	g, err := optest.Load("layers")
	if err != nil {
		t.Fatal(err)
	}
	same := func(t *testing.T, key string, got *mlx.Array) {
		t.Helper()
		want, ok := g[key]
		if !ok {
			t.Errorf("there is no %s", key)
		} else if err := optest.Diff(got, want, optest.F32); err != nil {
			t.Errorf("%s %v", key, err)
		}
	}
	for name, l := range spatialLayers {
		t.Run(name, func(t *testing.T) {
			prefix := name + ".param."
			err := nn.Update(l, func(yield func(string, *mlx.Array) bool) {
				for key, a := range g {
					if path, ok := strings.CutPrefix(key, prefix); ok && !yield(path, a) {
						return
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			x := g[name+".x0"]
			same(t, name+".y0", l.Forward(x))
			dx := mlx.Grad(func(x *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Square(l.Forward(x))) })(x)
			same(t, name+".dx0", dx)
			if nn.NumParameters(l) == 0 {
				return
			}
			_, grads := nn.ValueAndGrad(l, func(l nn.Layer) *mlx.Array { return mlx.Sum(mlx.Square(l.Forward(x))) })
			n := 0
			for path, d := range nn.Parameters(grads) {
				same(t, name+".dparam."+path, d)
				n++
			}
			for key := range g {
				if strings.HasPrefix(key, name+".dparam.") {
					n--
				}
			}
			if n != 0 {
				t.Errorf("%d gradients too many", n)
			}
		})
	}
}

func TestConvInit(t *testing.T) {
	g, err := optest.Load("layers")
	if err != nil {
		t.Fatal(err)
	}
	random.Seed(9)
	for path, a := range nn.Parameters(nn.NewConv2D(3, 5, 3)) {
		if err := optest.Diff(a, g["default_init.Conv2d(3,5,3)."+path], optest.Exact); err != nil {
			t.Errorf("%s %v", path, err)
		}
	}
}

func TestSpatialErrors(t *testing.T) {
	x := mlx.Ones(mlx.Shape{1, 4, 3})
	for text, f := range map[string]func(){
		"3 groups do not divide 4":      func() { nn.NewConv1D(4, 6, 3, mlx.Groups(3)) },
		"no groups":                     func() { nn.NewConvTranspose1D(4, 6, 3, mlx.Groups(2)) },
		"output padding":                func() { nn.NewConv1D(4, 6, 3, mlx.OutputPadding{1}) },
		"needs an input of 4 axes":      func() { pool(true, []int{2, 2}).Forward(x) },
		"smaller than the window's 5":   func() { pool(true, []int{5}).Forward(x) },
		"2 values of the stride for 1":  func() { pool(true, []int{2}, []int{1, 1}).Forward(x) },
		`mode "lanczos" is not nearest`: func() { (&nn.Upsample{Scale: []float64{2}, Mode: "lanczos"}).Forward(x) },
		"antialiasing is for":           func() { (&nn.Upsample{Scale: []float64{2}, Antialias: true}).Forward(x) },
		"padding of spatial axis 0 is":  func() { mlx.Conv1D(x, x, mlx.Dilation{1 << 62}) },
		"is too large":                  func() { mlx.Conv1D(x, x, mlx.Padding{math.MinInt}) },
		"2 scales for 1":                func() { (&nn.Upsample{Scale: []float64{2, 2}}).Forward(x) },
	} {
		if err := mlx.Try(f); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// smoothCubic resamples x with Keys' kernel, stretched by 1/scale where it shrinks.
func smoothCubic(x []float64, scale float64) (y []float32) {
	wide := math.Max(1/scale, 1)
	for i := range int(scale * float64(len(x))) {
		center, sum, total := (float64(i)+0.5)/scale-0.5, 0.0, 0.0
		for j, v := range x {
			d := math.Abs(center-float64(j)) / wide
			w := 0.0
			switch {
			case d < 1:
				w = 1.5*d*d*d - 2.5*d*d + 1
			case d < 2:
				w = -0.5*d*d*d + 2.5*d*d - 4*d + 2
			}
			sum, total = sum+w*v, total+w
		}
		y = append(y, float32(sum/total))
	}
	return y
}

// TestUpsampleSizes: fractions, integers and both ways of nearest.
func TestUpsampleSizes(t *testing.T) {
	x := mlx.FromSlice([]float32{1, 2, 3, 4}, 1, 4, 1)
	for _, c := range []struct {
		u    nn.Upsample
		want []float32
	}{
		{nn.Upsample{Scale: []float64{1.5}}, []float32{1, 1, 2, 3, 3, 4}},
		{nn.Upsample{Scale: []float64{0.5}}, []float32{1, 3}},
		{nn.Upsample{Scale: []float64{0.5}, Mode: "linear"}, []float32{1.5, 3.5}},
		{nn.Upsample{Scale: []float64{0.5}, Mode: "linear", Antialias: true}, []float32{(3*1 + 3*2 + 3) / 7., (2 + 3*3 + 3*4) / 7.}},
		{nn.Upsample{Scale: []float64{2}, Mode: "cubic", Antialias: true}, nil},
		{nn.Upsample{Scale: []float64{0.5}, Mode: "cubic", Antialias: true}, nil},
		{nn.Upsample{Scale: []float64{2}, Mode: "linear", AlignCorners: true}, []float32{1, 10. / 7, 13. / 7, 16. / 7, 19. / 7, 22. / 7, 25. / 7, 4}},
	} {
		if c.want == nil { // the kernel with a = -0.5, written out
			c.want = smoothCubic([]float64{1, 2, 3, 4}, c.u.Scale[0])
		}
		if err := optest.Diff(c.u.Forward(x).Flatten(), mlx.FromSlice(c.want), optest.F32); err != nil {
			t.Errorf("%+v %v", c.u, err)
		}
	}
}
