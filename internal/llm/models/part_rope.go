package models

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/internal/llm"
)

// ropeConfig is the rotary part of a config, of both generations: rope_theta and
// rope_scaling, or transformers 5's rope_parameters, which may be one per layer
// type.
type ropeConfig struct {
	Theta         float64         `json:"rope_theta"`
	Scaling       *ropeParameters `json:"rope_scaling"`
	Parameters    json.RawMessage `json:"rope_parameters"`
	PartialFactor float64         `json:"partial_rotary_factor"`
	Traditional   bool            `json:"rope_traditional"`
	MaxPositions  integer         `json:"max_position_embeddings"`
	Original      integer         `json:"original_max_position_embeddings"`

	otherwise  ropeParameters // of the family, where config.json says nothing of a rotation
	yarnIsLong bool           // the type yarn is longrope
}

// ropeParameters is one scaling. Formulas are those of transformers'
// modeling_rope_utils.
type ropeParameters struct {
	Type            string    `json:"rope_type"`
	OldType         string    `json:"type"`
	Theta           float64   `json:"rope_theta"`
	PartialFactor   float64   `json:"partial_rotary_factor"`
	Factor          float64   `json:"factor"`
	Original        integer   `json:"original_max_position_embeddings"`
	LowFreqFactor   float64   `json:"low_freq_factor"`
	HighFreqFactor  float64   `json:"high_freq_factor"`
	AttentionFactor *float64  `json:"attention_factor"`
	MScale          float64   `json:"mscale"`
	MScaleAllDim    float64   `json:"mscale_all_dim"`
	BetaFast        float64   `json:"beta_fast"`
	BetaSlow        float64   `json:"beta_slow"`
	Truncate        *bool     `json:"truncate"`
	LongFactor      []float64 `json:"long_factor"`
	ShortFactor     []float64 `json:"short_factor"`
	Alpha           float64   `json:"alpha"`                // dynamic of hunyuan
	Llama4Beta      float64   `json:"llama_4_scaling_beta"` // ministral3, see queryScale
}

// rope rotates queries and keys. The attention factor of some scalings multiplies
// the rotated features.
type rope struct {
	fast.RoPE
	factor float64
	// longrope: the periods beyond the original context. dynamic: by what power of the
	// growth the periods grow beyond it, and the factor. Original is that context.
	long     *mlx.Array
	growth   *mlx.Array
	stretch  float64
	original int
	rows     []*rope // one for each row of a batch, where they differ
}

// parameters are those of a layer type.
func (c *ropeConfig) parameters(layerType string) (ropeParameters, error) {
	p, err := c.newParameters(layerType)
	if err != nil {
		return p, err
	}
	if c.Scaling == nil && c.Theta == 0 && !c.hasNew() {
		p = c.otherwise
	}
	if old := c.Scaling; old != nil && (old.Type != "" || old.OldType != "" || p.Type == "" && p.OldType == "") {
		theta := p.Theta
		p = *old // goes first, as in transformers: people add it to a config that has the other
		if p.Theta == 0 && c.Theta == 0 {
			p.Theta = theta
		}
	}
	if p.Type == "" {
		p.Type = p.OldType
	}
	if c.yarnIsLong && p.Type == "yarn" {
		p.Type = "longrope"
	}
	if p.Theta == 0 {
		p.Theta = c.Theta
	}
	if p.Theta == 0 {
		p.Theta = 10_000
	}
	if p.PartialFactor == 0 {
		p.PartialFactor = c.PartialFactor
	}
	if p.PartialFactor == 0 {
		p.PartialFactor = 1
	}
	if c.Original != 0 { // phi3 writes it there, and transformers lets it go first
		p.Original = c.Original
	}
	return p, nil
}

// hasNew reports whether there are rope_parameters.
func (c *ropeConfig) hasNew() bool { return len(c.Parameters) > 0 && string(c.Parameters) != "null" }

// newParameters is what rope_parameters says of a layer type, nothing without it.
func (c *ropeConfig) newParameters(layerType string) (p ropeParameters, err error) {
	if !c.hasNew() {
		return p, nil
	}
	var byType map[string]json.RawMessage
	if err := json.Unmarshal(c.Parameters, &byType); err != nil {
		return p, fmt.Errorf("config.json: rope_parameters: %w", llm.JSONError(err))
	}
	raw, nested := byType[layerType]
	if !nested {
		for _, other := range []string{"full_attention", "sliding_attention"} {
			if _, ok := byType[other]; ok {
				return p, fmt.Errorf("config.json: rope_parameters has %s, but not %s", other, layerType)
			}
		}
		raw = c.Parameters
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return p, fmt.Errorf("config.json: rope_parameters: %w", llm.JSONError(err))
	}
	return p, nil
}

// newRope is the rotation of a layer type with heads of headDim features.
func (c *ropeConfig) newRope(headDim int, layerType string) (*rope, error) {
	p, err := c.parameters(layerType)
	if err != nil {
		return nil, err
	}
	dims := int(float64(headDim) * p.PartialFactor)
	if p.Type == "proportional" {
		dims = headDim
	}
	if dims <= 0 || dims%2 != 0 || dims > headDim {
		return nil, fmt.Errorf("config.json: %d rotary features of a head of %d are not possible", dims, headDim)
	}
	if !(p.Theta > 0) || math.IsInf(p.Theta, 0) {
		return nil, fmt.Errorf("config.json: rope_theta %g is not positive", p.Theta)
	}
	r := &rope{RoPE: fast.RoPE{Dims: dims, Traditional: c.Traditional, Base: p.Theta}, factor: 1}
	switch p.Type {
	case "", "default", "mrope":
		return r, nil
	case "dynamic":
		err = c.dynamic(r, p)
	case "proportional":
		err = proportional(r, p)
	case "linear":
		if err := p.needs("factor", p.Factor); err != nil {
			return nil, err
		}
		r.Scale = 1 / p.Factor
		return r, nil
	case "llama3":
		err = c.llama3(r, p)
	case "yarn", "deepseek_yarn", "telechat3-yarn":
		err = c.yarn(r, p)
	case "longrope", "su":
		err = c.longrope(r, p)
	default:
		return nil, fmt.Errorf("config.json: rope type %q is not supported; the known ones are default, linear, dynamic, llama3, yarn, longrope, proportional", p.Type)
	}
	return r, err
}

// context is how many positions the model was made for: dynamic frequencies reach beyond
// max_position_embeddings.
func (c *ropeConfig) context() int {
	p, err := c.parameters("full_attention")
	if err == nil && p.Type == "dynamic" && p.Factor > 1 && p.Factor < 1<<16 {
		return int(float64(c.MaxPositions) * p.Factor)
	}
	return int(c.MaxPositions)
}

// byType reports whether rope_parameters are given by layer type.
func (c *ropeConfig) byType() bool {
	var by map[string]json.RawMessage
	if json.Unmarshal(c.Parameters, &by) != nil {
		return false
	}
	_, full := by[fullAttention]
	_, sliding := by[slidingAttention]
	return full || sliding
}

// needs refuses a parameter that is missing or not positive.
func (p *ropeParameters) needs(key string, v float64) error {
	if !(v > 0) || math.IsInf(v, 0) {
		return fmt.Errorf("config.json: rope type %s needs a positive %s", p.Type, key)
	}
	return nil
}

// periods makes the array of 1/frequency.
func periods(frequency []float64) *mlx.Array {
	f := make([]float32, len(frequency))
	for i, x := range frequency {
		f[i] = float32(1 / x)
	}
	return mlx.FromSlice(f)
}

// plain is theta^(-2i/dims).
func plain(theta float64, dims int) []float64 {
	f := make([]float64, dims/2)
	for i := range f {
		f[i] = math.Pow(theta, -2*float64(i)/float64(dims))
	}
	return f
}

// proportional has the frequencies of the whole head, and rotates the first part of its
// pairs only.
func proportional(r *rope, p ropeParameters) error {
	setDefault(&p.Factor, 1)
	pairs := int(p.PartialFactor * float64(r.Dims) / 2)
	if err := p.needs("factor", p.Factor); err != nil || pairs < 0 || pairs > r.Dims/2 {
		return errors.Join(err, fmt.Errorf("config.json: partial_rotary_factor %g is not between 0 and 1", p.PartialFactor))
	}
	f := plain(p.Theta, r.Dims)
	for i := range f {
		f[i] /= p.Factor
		if i >= pairs {
			f[i] = 1e-30 // no rotation at any position
		}
	}
	r.Base, r.Freqs = 0, periods(f)
	return nil
}

// dynamic grows the base with the sequence, beyond the context; with an alpha
// (hunyuan's) it is larger by a constant.
func (c *ropeConfig) dynamic(r *rope, p ropeParameters) error {
	n := float64(r.Dims)
	if n < 4 {
		return fmt.Errorf("config.json: rope type %s needs more than %d rotary features", p.Type, r.Dims)
	}
	if p.Alpha > 0 {
		r.Base = p.Theta * math.Pow(p.Alpha, n/(n-2))
		return nil
	}
	if err := firstError(p.needs("factor", p.Factor), p.needs("max_position_embeddings", float64(c.MaxPositions))); err != nil {
		return err
	}
	growth := make([]float32, r.Dims/2) // base^(2i/n) grows by the n/(n-2)-th power of it
	for i := range growth {
		growth[i] = float32(2 * float64(i) / (n - 2))
	}
	r.Base, r.Freqs = 0, periods(plain(p.Theta, r.Dims))
	r.growth, r.stretch, r.original = mlx.FromSlice(growth), p.Factor, int(c.MaxPositions)
	return nil
}

func (c *ropeConfig) llama3(r *rope, p ropeParameters) error {
	if p.Original == 0 {
		p.Original = c.MaxPositions
	}
	err := firstError(p.needs("factor", p.Factor), p.needs("low_freq_factor", p.LowFreqFactor),
		p.needs("high_freq_factor", p.HighFreqFactor), p.needs("original_max_position_embeddings", float64(p.Original)))
	if err != nil {
		return err
	}
	f := plain(p.Theta, r.Dims)
	for i, x := range f {
		wavelength := 2 * math.Pi / x
		turns := float64(p.Original) / wavelength
		switch {
		case turns > p.HighFreqFactor:
		case turns < p.LowFreqFactor:
			f[i] = x / p.Factor
		default:
			smooth := (turns - p.LowFreqFactor) / (p.HighFreqFactor - p.LowFreqFactor)
			f[i] = (1-smooth)*x/p.Factor + smooth*x
		}
	}
	r.Base, r.Freqs = 0, periods(f)
	return nil
}

// yarnScale is yarn's get_mscale.
func yarnScale(scale, mscale float64) float64 {
	if scale <= 1 {
		return 1
	}
	return 0.1*mscale*math.Log(scale) + 1
}

func (c *ropeConfig) yarn(r *rope, p ropeParameters) error {
	original := float64(p.Original)
	if original == 0 {
		original = float64(c.MaxPositions)
	}
	if p.Factor == 0 && original > 0 {
		p.Factor = float64(c.MaxPositions) / original
	}
	if err := firstError(p.needs("factor", p.Factor), p.needs("original_max_position_embeddings", original)); err != nil {
		return err
	}
	switch {
	case p.AttentionFactor != nil:
		r.factor = *p.AttentionFactor
	case p.MScale != 0 && p.MScaleAllDim != 0:
		r.factor = yarnScale(p.Factor, p.MScale) / yarnScale(p.Factor, p.MScaleAllDim)
	default:
		r.factor = yarnScale(p.Factor, 1)
	}
	fastTurns, slowTurns := p.BetaFast, p.BetaSlow
	if fastTurns == 0 {
		fastTurns = 32
	}
	if slowTurns == 0 {
		slowTurns = 1
	}
	dims := float64(r.Dims)
	dimOf := func(turns float64) float64 {
		return dims * math.Log(original/(turns*2*math.Pi)) / (2 * math.Log(p.Theta))
	}
	low, high := dimOf(fastTurns), dimOf(slowTurns)
	if p.Truncate == nil || *p.Truncate {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = max(low, 0), min(high, dims-1)
	if low == high {
		high += 0.001
	}
	f := plain(p.Theta, r.Dims)
	for i, x := range f {
		ramp := min(max((float64(i)-low)/(high-low), 0), 1)
		f[i] = x/p.Factor*ramp + x*(1-ramp)
	}
	r.Base, r.Freqs = 0, periods(f)
	return nil
}

func (c *ropeConfig) longrope(r *rope, p ropeParameters) error {
	n := r.Dims / 2
	if len(p.LongFactor) != n || len(p.ShortFactor) != n {
		return fmt.Errorf("config.json: rope type %s needs long_factor and short_factor of %d numbers, not %d and %d", p.Type, n, len(p.LongFactor), len(p.ShortFactor))
	}
	original := int(p.Original)
	if original == 0 {
		original = int(c.MaxPositions)
	}
	if err := p.needs("original_max_position_embeddings", float64(original)); err != nil {
		return err
	}
	factor := p.Factor
	if factor == 0 {
		factor = float64(c.MaxPositions) / float64(original)
	}
	switch {
	case p.AttentionFactor != nil:
		r.factor = *p.AttentionFactor
	case factor > 1:
		r.factor = math.Sqrt(1 + math.Log(factor)/math.Log(float64(original)))
	}
	short, long := plain(p.Theta, r.Dims), plain(p.Theta, r.Dims)
	for i := range n {
		short[i] /= p.ShortFactor[i]
		long[i] /= p.LongFactor[i]
	}
	r.Base, r.Freqs = 0, periods(short)
	r.long, r.original = periods(long), original
	return nil
}

// at is the rotation of a sequence whose last known token has position last (int32
// [B]): the periods of longrope and dynamic depend on it.
func (r *rope) at(last *mlx.Array) *rope {
	own := *r
	if B := last.Dim(0); B > 1 && (r.growth != nil || r.long != nil) {
		for _, one := range eachRow(last, B) {
			own.rows = append(own.rows, r.at(one))
		}
		return &own
	}
	switch {
	case r.growth != nil:
		length := mlx.Maximum(mlx.Max(last).Add(1), r.original).AsType(mlx.Float32)
		ratio := length.Mul(r.stretch / float64(r.original)).Sub(r.stretch - 1)
		own.Freqs = r.Freqs.Mul(mlx.Exp(mlx.Log(ratio).Mul(r.growth)))
		return &own
	case r.long == nil:
		return r
	}
	beyond := mlx.Max(last).Ge(r.original)
	own.Freqs = mlx.Where(beyond, r.long, r.Freqs)
	return &own
}

// together is how many of the n tokens from position pos on have one rotation, whether
// they run in one pass or one by one.
func (r *rope) together(pos, n int) int {
	if r.growth == nil && r.long == nil || pos+n <= r.original {
		return n
	}
	if pos < r.original {
		return r.original - pos
	}
	if r.growth != nil { // each length has its own
		return 1
	}
	return n
}

// apply rotates x [B, H, L, D] from position pos on.
func (r *rope) apply(x, pos *mlx.Array) *mlx.Array {
	if B := len(r.rows); B > 0 {
		out, at := mlx.Arrays{}, eachRow(pos, B)
		for i, row := range eachRow(x, B) {
			out = append(out, r.rows[i].apply(row, at[i]))
		}
		return mlx.Concatenate(out)
	}
	x = r.ApplyAt(x, pos)
	if r.factor == 1 {
		return x
	}
	d := x.Dim(-1)
	if r.Dims == d {
		return x.Mul(r.factor)
	}
	scale := make([]float32, d)
	for i := range scale {
		scale[i] = 1
		if i < r.Dims {
			scale[i] = float32(r.factor)
		}
	}
	return x.Mul(mlx.FromSlice(scale).AsType(x.DType()))
}

// eachRow splits x [B, ...] into [1, ...].
func eachRow(x *mlx.Array, B int) mlx.Arrays {
	var at []int
	for i := 1; i < B; i++ {
		at = append(at, i)
	}
	return mlx.Split(x, at)
}
