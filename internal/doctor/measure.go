package doctor

import (
	"fmt"
	"math"
	"time"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/cpu/limits"
	"github.com/mlxgo/mlx/internal/tensor"
)

// A Measure is a rate that was measured on a device.
type Measure struct {
	Device string  `json:"device"`
	Name   string  `json:"name"`
	Rate   float64 `json:"rate"` // per second
	Unit   string  `json:"unit"` // B or FLOP
	Fault  string  `json:"fault,omitempty"`
}

// sizes are how large what is measured is. The emulator is a million times slower than
// a GPU.
type sizes struct {
	copied       int // bytes
	rows, cols   int // of a packed matrix
	matrices     int // of these, so that no cache holds all
	product      int // rows and columns of matrices that are multiplied
	window       time.Duration
	productTypes []mlx.DType
}

func sizesFor(dev mlx.Device, emulated bool) sizes {
	s := sizes{copied: 256 << 20, rows: 4096, cols: 14336, matrices: 8, product: 2048, window: 300 * time.Millisecond, productTypes: []mlx.DType{mlx.Float16, mlx.BFloat16}}
	switch {
	case dev == mlx.CPU:
		s.copied, s.matrices, s.product, s.productTypes = 64<<20, 4, 1024, []mlx.DType{mlx.Float32}
	case emulated:
		s.copied, s.rows, s.cols, s.matrices, s.product = 1<<20, 256, 1024, 2, 128
	}
	return s
}

// Measures are the rates of a device.
func Measures(dev mlx.Device, each func(Measure)) {
	m := Describe()
	s := sizesFor(dev, m.GPU != nil && m.GPU.Emulated)
	if dev == mlx.CPU {
		machineLimits(each)
	}
	s.measure(dev, each)
}

// machineLimits are what package limits finds: the most that kernels can do.
func machineLimits(each func(Measure)) {
	h := limits.Host()
	give := func(name, unit string, rate float64, err error) {
		m := Measure{Device: NameOf(mlx.CPU), Name: name, Rate: rate, Unit: unit}
		if err != nil {
			m.Fault = err.Error()
		}
		each(m)
	}
	p, err := limits.New(limits.BufferSize(h)/2, 150*time.Millisecond)
	if err != nil {
		give("reading memory", "B", 0, err)
		return
	}
	defer p.Close()
	rate, err := p.Read(h.Cores)
	give(fmt.Sprintf("reading memory, %d threads", h.Cores), "B", rate, err)
	rate, err = p.MultiplyAdd(h.Cores)
	give(fmt.Sprintf("float32 multiply-adds, %d threads", h.Cores), "FLOP", rate, err)
}

func (s sizes) measure(dev mlx.Device, each func(Measure)) {
	before := mlx.DefaultDevice()
	mlx.SetDefaultDevice(dev)
	defer mlx.SetDefaultDevice(before)
	rate := func(name, unit string, work float64, f func() arrays) {
		m := Measure{Device: NameOf(dev), Name: name, Unit: unit}
		r, err := s.rate(work, f)
		if m.Rate = r; err != nil {
			m.Fault = firstLines(err.Error())
		}
		each(m)
	}
	x := mlx.Zeros(mlx.Shape{s.copied})
	x = mlx.Contiguous(x.AsType(mlx.Uint8), false)
	rate(fmt.Sprintf("copying %s, read and written", mib(s.copied)), "B", 2*float64(s.copied), func() arrays {
		return arrays{tensor.CopyOf(x, mlx.DefaultStream(dev))}
	})
	scheme := mlx.Scheme{Bits: 4, GroupSize: 64, Mode: "affine"}
	var packed []mlx.Quantized
	bytes := 0.0
	for i := range s.matrices {
		q := packedWords(uint64(i), scheme, s.rows, s.cols)
		q.Scales, q.Biases = q.Scales.AsType(mlx.Float16), q.Biases.AsType(mlx.Float16)
		packed = append(packed, q)
		for _, a := range unpacked(q) {
			bytes += float64(a.NBytes())
		}
	}
	v := wave(1, 1, s.cols).AsType(mlx.Float16)
	rate(fmt.Sprintf("vector and 4-bit matrix [%d, %d], bytes of the matrix", s.rows, s.cols), "B", bytes, func() (l arrays) {
		for _, q := range packed {
			l = append(l, mlx.QuantizedMatMul(v, q))
		}
		return l
	})
	for _, d := range s.productTypes {
		a, b := wave(2, s.product, s.product).AsType(d), wave(3, s.product, s.product).AsType(d)
		rate(fmt.Sprintf("matmul of %d x %d, %v", s.product, s.product, d), "FLOP", 2*math.Pow(float64(s.product), 3), func() arrays { return arrays{mlx.MatMul(a, b)} })
	}
}

// rate is how much work a second f does at best, after a first run that compiles.
func (s sizes) rate(work float64, f func() arrays) (best float64, err error) {
	once := func() (time.Duration, error) {
		var out arrays
		if err := mlx.Try(func() { out = f() }); err != nil {
			return 0, err
		}
		begin := time.Now()
		err := mlx.Eval(out)
		return time.Since(begin), err
	}
	if _, err := once(); err != nil {
		return 0, err
	}
	begin := time.Now()
	for runs := 0; runs < 3 || time.Since(begin) < s.window && runs < 1000; runs++ {
		took, err := once()
		if err != nil {
			return 0, err
		}
		best = max(best, work/took.Seconds())
		if took > 4*s.window {
			break
		}
	}
	return best, nil
}

func mib(n int) string { return fmt.Sprintf("%d MiB", n>>20) }
