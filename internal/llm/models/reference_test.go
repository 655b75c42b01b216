package models_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/hf/safetensors"
)

// An independent decoder to hold ours against, in float64, by plain loops from the
// formulas of transformers' and mlx-lm's modeling files; what families do differently is
// in reference_families_test.go. It shares nothing with the product but the reading of
// safetensors headers.

// refConfig is a config.json as it is.
type refConfig map[string]any

// num is the number at key, or otherwise when it is missing or null.
func (c refConfig) num(key string, otherwise float64) float64 {
	if v, ok := c[key].(float64); ok {
		return v
	}
	return otherwise
}

func (c refConfig) flag(key string) bool { v, _ := c[key].(bool); return v }

func (c refConfig) object(key string) refConfig {
	v, _ := c[key].(map[string]any)
	return v
}

// refMatrix is row-major; a vector has one column.
type refMatrix struct {
	rows, cols int
	v          []float64
}

func (m refMatrix) row(i int) []float64 { return m.v[i*m.cols : (i+1)*m.cols] }

type refModel struct {
	kind                    string
	vocab, hidden, layers   int
	heads, kvHeads, headDim int
	eps                     float64
	tied                    bool
	windows                 []int // by layer, 0 for all
	ropes                   []*refRope
	f                       refFamily
	w                       map[string]refMatrix
	own                     []refLayer
	recompute               int // the length at which phi3 begins again with long factors
}

// refState is what attention remembers: layer, position, kvHeads*headDim numbers.
type refState struct {
	k, v   [][][]float64
	length int
}

// newRef reads a model directory.
func newRef(t testing.TB, dir string) *refModel {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	c := refConfig{}
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	c.translate()
	m := &refModel{
		kind: c["model_type"].(string), vocab: int(c.num("vocab_size", 0)), hidden: int(c.num("hidden_size", 0)),
		layers: int(c.num("num_hidden_layers", 0)), heads: int(c.num("num_attention_heads", 0)),
	}
	m.f = c.family()
	m.eps = c.num("norm_eps_of_all", c.num("rms_norm_eps", 1e-6))
	m.kvHeads = int(c.num("num_key_value_heads", float64(m.heads)))
	m.headDim = int(c.num("head_dim", float64(m.hidden/m.heads)))
	m.w = refRename(m.kind, refWeights(t, dir, c))
	_, head := m.w[m.f.head+".weight"]
	m.tied = !head
	if flag, ok := c["tie_word_embeddings"].(bool); ok && (flag || !m.f.tiesWithoutHead) {
		m.tied = flag
	}
	if referenceNames[m.kind] && m.f.ternary == "" {
		m.checkNames(t, c)
	}
	m.setLayers(c)
	return m
}

// referenceNames are the kinds whose parameters are known one by one.
var referenceNames = setOf("llama", "mistral", "qwen2", "qwen3")

// checkNames wants the parameters that transformers' model has: which layers have a
// bias is its model_type's and configuration's affair.
func (m *refModel) checkNames(t testing.TB, c refConfig) {
	t.Helper()
	attention := c.flag("attention_bias") && (m.kind == "llama" || m.kind == "qwen3")
	bias := map[string]bool{
		"self_attn.q_proj": attention || m.kind == "qwen2", "self_attn.k_proj": attention || m.kind == "qwen2",
		"self_attn.v_proj": attention || m.kind == "qwen2", "self_attn.o_proj": attention,
		"mlp.gate_proj": c.flag("mlp_bias"), "mlp.up_proj": c.flag("mlp_bias"), "mlp.down_proj": c.flag("mlp_bias"),
	}
	want := 2 // embedding and norm
	if !m.tied {
		want++
	}
	for l := range m.layers {
		want += 2
		for path, has := range bias {
			path = "model.layers." + itoa(l) + "." + path
			want++
			if _, ok := m.w[path+".bias"]; ok != has {
				t.Errorf("reference: %s.bias: present is %v, should be %v", path, ok, has)
			}
			if has {
				want++
			}
		}
		if m.kind == "qwen3" {
			want += 2
		}
	}
	got := 0
	for name := range m.w {
		if !strings.HasSuffix(name, "inv_freq") {
			got++
		}
	}
	if got != want {
		t.Errorf("reference: %d parameters, not %d", got, want)
	}
}

// layerType follows the configuration classes: mistral slides everywhere, qwen2
// and qwen3 by layer_types or from max_window_layers (28) on when
// use_sliding_window is set, llama (mlx-lm's) by layer_types, others by layer_types or
// their family's pattern.
func (c refConfig) layerType(kind string, i int) (string, int) {
	sliding, otherwise := c.slidesByFamily(kind, i)
	types, _ := c["layer_types"].([]any)
	if types != nil {
		sliding = types[i] == "sliding_attention"
	}
	switch kind {
	case "mistral":
		sliding, otherwise = true, 4096
	case "qwen2", "qwen3":
		otherwise = 4096
		sliding = c.flag("use_sliding_window") && (sliding || types == nil && i >= int(c.num("max_window_layers", 28)))
	case "gemma4_text":
		sliding = sliding && i != int(c.num("num_hidden_layers", 0))-1
	case "smollm3":
		sliding = sliding && c.flag("use_sliding_window")
	}
	window := 0
	if v, written := c["sliding_window"]; v != nil || !written {
		window = int(c.num("sliding_window", otherwise))
	}
	if !sliding || window == 0 {
		return "full_attention", 0
	}
	return "sliding_attention", window
}

// feed runs tokens in one pass and returns the logits after each.
func (m *refModel) feed(s *refState, tokens []int) [][]float64 {
	if s.k == nil {
		s.k, s.v = make([][][]float64, 2*m.layers), make([][][]float64, 2*m.layers)
	}
	if m.f.streams > 0 {
		return m.feedGemma3n(s, tokens)
	}
	start := s.length
	s.length += len(tokens)
	x := make([][]float64, len(tokens))
	var inputs [][][]float64 // token, layer
	for i, t := range tokens {
		x[i] = slices.Clone(m.w[m.f.embed+".weight"].row(t))
		refScale(x[i], m.f.embedScale)
		if m.f.embedNorm {
			x[i] = m.norm("", x[i])
		}
		if m.f.layerSize > 0 {
			inputs = append(inputs, m.layerInputs(t, x[i]))
		}
		if m.f.positions != "" {
			refAdd(x[i], m.w[m.f.positions+".weight"].row(start+i))
		}
	}
	for l := range m.layers {
		m.layer(l, s, x, start)
		for i := range x {
			m.finish(l, x[i], inputs, i)
		}
	}
	for l := range m.layers {
		if m.f.loopWindow > 0 {
			m.repeat(l, s, x, start)
		}
	}
	head := m.f.head
	if m.tied {
		head = m.f.embed
	}
	for i := range x {
		x[i] = m.linear(head, m.norm(m.f.final, x[i]))
		refScale(x[i], m.f.logitScale)
		for j, y := range x[i] {
			if c := m.f.finalCap; c > 0 {
				x[i][j] = c * math.Tanh(y/c)
			}
			if m.f.banned[j] {
				x[i][j] = math.Inf(-1)
			}
		}
	}
	return x
}

// layer adds attention and MLP to x in place.
func (m *refModel) layer(l int, s *refState, x [][]float64, start int) {
	f, path := m.f, m.path(l)
	maybe := func(name string, y []float64) []float64 {
		if name == "" {
			return y
		}
		return m.norm(path+name, y)
	}
	for i := range x {
		var y []float64
		h := x[i]
		if m.own[l].attention != "none" {
			h = maybe(f.in, x[i])
			y = maybe(f.afterAttention, m.attend(l, path+f.attention, s, h, start+i, start+len(x)))
			refScale(y, f.residual)
			if !f.parallel {
				refAdd(x[i], y)
				h = x[i]
			} else if f.pre != "" {
				h = x[i]
			}
		}
		if m.own[l].mlp == "none" {
			continue
		}
		z := maybe(f.afterMLP, m.mlp(l, path+f.mlp, maybe(f.pre, h)))
		refScale(z, f.residual)
		refAdd(x[i], z)
		if f.parallel {
			refAdd(x[i], y)
		}
	}
}

// attend is attention of the token at pos with normalized input h; length is that of
// the sequence after this pass.
func (m *refModel) attend(l int, path string, s *refState, h []float64, pos, length int) []float64 {
	if m.own[l].attention == "linear" {
		return m.linear(path+"linear", h)
	}
	q, k, v := m.rotated(l, path, h, pos, length)
	if from := m.own[l].source; from > 0 {
		return m.out(path, m.mix(l, q, s.k[from-1], s.v[from-1], pos, m.windows[l]))
	}
	s.k[l], s.v[l] = append(s.k[l], k), append(s.v[l], v)
	return m.out(path, m.mix(l, q, s.k[l], s.v[l], pos, m.windows[l]))
}

// linear is weight x + bias, if there is a bias.
func (m *refModel) linear(path string, x []float64) []float64 {
	w, ok := m.w[path+".weight"]
	if !ok || w.cols != len(x) && w.rows != 0 {
		panic("reference: no matrix " + path + " for a vector of " + itoa(len(x)))
	}
	y := make([]float64, w.rows)
	for i := range y {
		y[i] = refDot(w.row(i), x)
	}
	if b, ok := m.w[path+".bias"]; ok {
		refAdd(y, b.v)
	}
	return y
}

func refNorm(x, w []float64, eps float64) []float64 {
	scale := 1 / math.Sqrt(refDot(x, x)/float64(len(x))+eps)
	y := make([]float64, len(x))
	for i := range x {
		y[i] = x[i] * scale * w[i]
	}
	return y
}

func refDot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

func refAdd(x, y []float64) {
	for i := range x {
		x[i] += y[i]
	}
}

func refSoftmax(x []float64) []float64 {
	top, sum := slices.Max(x), 0.0
	for i := range x {
		x[i] = math.Exp(x[i] - top)
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
	return x
}

// greedy continues prompt, fed in chunks, by n tokens; gaps are between the best
// and the second logit.
func (m *refModel) greedy(prompt []int, chunk, n int) (tokens []int, gaps []float64) {
	var s refState
	var logits []float64
	for at := 0; at < len(prompt); at += chunk {
		rows := m.feed(&s, prompt[at:min(at+chunk, len(prompt))])
		logits = rows[len(rows)-1]
	}
	for range n {
		best, second := 0, math.Inf(-1)
		for i, x := range logits {
			if x > logits[best] {
				best = i
			}
		}
		for i, x := range logits {
			if i != best {
				second = max(second, x)
			}
		}
		tokens, gaps = append(tokens, best), append(gaps, logits[best]-second)
		next := []int{best}
		if m.recompute > 0 && s.length == m.recompute {
			s, next = refState{}, append(slices.Clone(prompt), tokens...)
		}
		rows := m.feed(&s, next)
		logits = rows[len(rows)-1]
	}
	return tokens, gaps
}

// refRope rotates a head. The frequencies may depend on the sequence's length.
type refRope struct {
	dims        int
	frequencies func(length int) []float64
	factor      float64
	traditional bool
}

// rotate turns the pairs (i, i+dims/2), or (2i, 2i+1), of h by pos*frequency.
func (r refRope) rotate(h []float64, pos, length int) {
	for i, f := range r.frequencies(length) {
		a, b := i, i+r.dims/2
		if r.traditional {
			a, b = 2*i, 2*i+1
		}
		sin, cos := math.Sincos(float64(pos) * f)
		h[a], h[b] = (h[a]*cos-h[b]*sin)*r.factor, (h[b]*cos+h[a]*sin)*r.factor
	}
}

// ropeSettings gathers a layer type's settings as transformers 5 standardizes them.
func (c refConfig) ropeSettings(layerType string) refConfig {
	p := refConfig{"rope_theta": c.num("rope_theta", 10000), "partial_rotary_factor": c.num("partial_rotary_factor", 1)}
	own := c.object("rope_parameters")
	if nested := own.object(layerType); nested != nil {
		own = nested
	}
	if old := c.object("rope_scaling"); old != nil { // goes first, but we keep the other's theta
		p["rope_theta"] = c.num("rope_theta", own.num("rope_theta", 10000))
		own = old
	}
	for k, v := range own {
		if v != nil {
			p[k] = v
		}
	}
	if p["rope_type"] == nil {
		p["rope_type"] = p["type"]
	}
	if p["rope_type"] == nil {
		p["rope_type"] = "default"
	}
	// The top level goes first, then the scaling's own, then the context.
	p["original_max_position_embeddings"] = c.num("original_max_position_embeddings",
		p.num("original_max_position_embeddings", c.num("max_position_embeddings", 0)))
	return p
}

// newRefRope is modeling_rope_utils, type by type.
func newRefRope(c refConfig, headDim int, layerType string) refRope {
	p := c.ropeSettings(layerType)
	base, positions := p.num("rope_theta", 0), c.num("max_position_embeddings", 0)
	dims := int(float64(headDim) * p.num("partial_rotary_factor", 1))
	plain := make([]float64, dims/2)
	for i := range plain {
		plain[i] = 1 / math.Pow(base, float64(2*i)/float64(dims))
	}
	r := refRope{dims: dims, factor: 1, traditional: c.flag("rope_traditional"), frequencies: func(int) []float64 { return plain }}
	switch kind := p["rope_type"].(string); kind {
	case "default":
	case "linear":
		for i := range plain {
			plain[i] /= p.num("factor", 0)
		}
	case "dynamic":
		factor := p.num("factor", 0)
		r.frequencies = func(length int) []float64 {
			n := max(float64(length), positions)
			b := base * math.Pow(factor*n/positions-(factor-1), float64(dims)/float64(dims-2))
			f := make([]float64, dims/2)
			for i := range f {
				f[i] = 1 / math.Pow(b, float64(2*i)/float64(dims))
			}
			return f
		}
	case "llama3":
		refLlama3(plain, p)
	case "yarn":
		r.factor = refYarn(plain, p, base, positions, dims)
	case "longrope":
		refLongRope(&r, plain, p, positions)
	default:
		panic("reference: rope type " + kind)
	}
	return r
}

func refLlama3(f []float64, p refConfig) {
	factor, low, high := p.num("factor", 0), p.num("low_freq_factor", 0), p.num("high_freq_factor", 0)
	context := p.num("original_max_position_embeddings", 0)
	for i := range f {
		length := 2 * math.Pi / f[i]
		if length > context/low {
			f[i] /= factor
		} else if length >= context/high {
			smooth := (context/length - low) / (high - low)
			f[i] = (1-smooth)*f[i]/factor + smooth*f[i]
		}
	}
}

func refYarn(f []float64, p refConfig, base, positions float64, dims int) (attention float64) {
	context := p.num("original_max_position_embeddings", 0)
	factor := p.num("factor", positions/context)
	scale := func(m float64) float64 {
		if factor <= 1 {
			return 1
		}
		return 0.1*m*math.Log(factor) + 1
	}
	attention = scale(1)
	if m, all := p.num("mscale", 0), p.num("mscale_all_dim", 0); m != 0 && all != 0 {
		attention = scale(m) / scale(all)
	}
	attention = p.num("attention_factor", attention)
	dim := func(turns float64) float64 {
		return float64(dims) * math.Log(context/(turns*2*math.Pi)) / (2 * math.Log(base))
	}
	low, high := dim(p.num("beta_fast", 32)), dim(p.num("beta_slow", 1))
	if truncate, ok := p["truncate"].(bool); truncate || !ok {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = math.Max(low, 0), math.Min(high, float64(dims-1))
	if low == high {
		high += 0.001
	}
	for i := range f {
		ramp := math.Max(0, math.Min(1, (float64(i)-low)/(high-low)))
		extrapolated, interpolated := f[i], f[i]/factor
		f[i] = interpolated*ramp + extrapolated*(1-ramp)
	}
	return attention
}

func refLongRope(r *refRope, plain []float64, p refConfig, positions float64) {
	context := p.num("original_max_position_embeddings", 0)
	factor := p.num("factor", positions/context)
	if factor > 1 {
		r.factor = math.Sqrt(1 + math.Log(factor)/math.Log(context))
	}
	r.factor = p.num("attention_factor", r.factor)
	divided := func(key string) []float64 {
		f := slices.Clone(plain)
		for i, by := range p[key].([]any) {
			f[i] /= by.(float64)
		}
		return f
	}
	short, long := divided("short_factor"), divided("long_factor")
	r.frequencies = func(length int) []float64 {
		if float64(length) > context {
			return long
		}
		return short
	}
}

// refWeights reads and unpacks all tensors of a directory.
func refWeights(t testing.TB, dir string, c refConfig) map[string]refMatrix {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "model*.safetensors"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no weights in %s (%v)", dir, err)
	}
	raw := map[string]safetensors.Tensor{}
	for _, path := range paths {
		f, err := safetensors.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, x := range f.Tensors() {
			raw[x.Name] = x
		}
	}
	block := c.object("quantization")
	if block == nil {
		block = c.object("quantization_config")
	}
	out := map[string]refMatrix{}
	for name, x := range raw {
		path, isWeight := strings.CutSuffix(name, ".weight")
		scales, packed := raw[path+".scales"]
		if strings.HasSuffix(name, ".scales") || strings.HasSuffix(name, ".biases") {
			continue
		}
		if !isWeight || !packed || block == nil {
			rows, cols := 1, 1
			if len(x.Shape) > 0 {
				rows = x.Shape[0]
			}
			if len(x.Shape) == 2 {
				cols = x.Shape[1]
			}
			out[name] = refMatrix{rows, cols, refFloats(x)}
			continue
		}
		out[name] = refUnpack(x, scales, raw[path+".biases"], refSchemeOf(block, path))
	}
	return out
}
