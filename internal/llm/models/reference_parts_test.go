package models_test

import (
	"math"
	"slices"
	"strings"
)

// project is queries, keys and values of h.
func (m *refModel) project(l int, path string, h []float64) (q, k, v []float64) {
	f, d, heads, kvHeads := m.f, m.own[l].d, m.own[l].heads, m.own[l].kvHeads
	switch {
	case m.own[l].source > 0:
		return m.linear(path+f.q, h), nil, nil
	case m.own[l].keysAreValues:
		k = m.linear(path+f.k, h)
		return m.linear(path+f.q, h), k, append([]float64(nil), k...)
	case f.qkv == "":
		return m.ternary(path+f.q, h), m.ternary(path+f.k, h), m.ternary(path+f.v, h)
	}
	all := m.linear(path+f.qkv, h)
	if !f.grouped {
		n, kv := heads*d, kvHeads*d
		return all[:n], all[n : n+kv], all[n+kv:]
	}
	group := heads / kvHeads
	for g := range kvHeads {
		part := all[g*(group+2)*d:]
		q = append(q, part[:group*d]...)
		k = append(k, part[group*d:(group+1)*d]...)
		v = append(v, part[(group+1)*d:(group+2)*d]...)
	}
	return q, k, v
}

// normHeads normalizes queries and keys in place.
func (m *refModel) normHeads(l int, path string, q, k []float64) {
	eps := m.eps
	if m.f.headEps != 0 {
		eps = m.f.headEps
	}
	for i, x := range [][]float64{q, k} {
		name := path + []string{m.f.qNorm, m.f.kNorm}[i]
		if m.f.heads == "whole" {
			copy(x, m.norm(name, x))
			continue
		}
		for head, d := 0, m.own[l].d; head*d < len(x); head++ {
			h := x[head*d : (head+1)*d]
			switch m.f.heads {
			case "each":
				copy(h, m.normOf(name, h, eps))
			case "bare":
				if m.ropes[l] != nil {
					copy(h, m.normOf("", h, eps))
				}
			case "layer":
				copy(h, refLayerNorm(h, m.w[name+".weight"].v, m.w[name+".bias"].v, 0, m.eps))
			case "rows":
				copy(h, refLayerNorm(h, m.w[name+".weight"].row(head), nil, 0, m.eps))
			case "apart":
				copy(h, refLayerNorm(h, m.w[name+".norms."+itoa(head)+".weight"].v, nil, 0, m.eps))
			}
		}
	}
}

// norm is the family's norm by the parameters at path, as far as there are any.
func (m *refModel) norm(path string, x []float64) []float64 { return m.normOf(path, x, m.eps) }

func (m *refModel) normOf(path string, x []float64, eps float64) []float64 {
	kind, plus := strings.CutSuffix(m.f.norm, "+1")
	add := 0.0
	if plus {
		add = 1
	}
	w, b := m.w[path+".weight"].v, m.w[path+".bias"].v
	if kind == "layer" {
		return refLayerNorm(x, w, b, add, eps)
	}
	w = slices.Clone(w)
	for i := range x {
		if len(w) <= i {
			w = append(w, 1)
			continue
		}
		w[i] += add
	}
	return refNorm(x, w, eps)
}

func refLayerNorm(x, w, b []float64, add, eps float64) []float64 {
	mean := 0.0
	for _, v := range x {
		mean += v / float64(len(x))
	}
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = v - mean
	}
	scale := 1 / math.Sqrt(refDot(y, y)/float64(len(x))+eps)
	for i := range y {
		y[i] *= scale
		if w != nil {
			y[i] *= w[i] + add
		}
		if b != nil {
			y[i] += b[i]
		}
	}
	return y
}

// mlp is the feed-forward part of normalized h.
func (m *refModel) mlp(l int, path string, h []float64) []float64 {
	f := m.f
	if m.own[l].mlp == "linear" {
		return m.linear(path+"linear", h)
	}
	var gate, up []float64
	switch {
	case f.gegelu > 0:
		both := m.linear(path+f.gateUp, h)
		for i := 0; i < len(both); i += 2 {
			g, u := math.Min(both[i], f.gegelu), math.Max(-f.gegelu, math.Min(f.gegelu, both[i+1]))
			gate = append(gate, g/(1+math.Exp(-1.702*g))*(u+1))
		}
		return m.linear(path+f.down, gate)
	case f.gateUp != "":
		both := m.linear(path+f.gateUp, h)
		gate, up = both[:len(both)/2], both[len(both)/2:]
		if f.upFirst {
			gate, up = up, gate
		}
	case f.gate != "":
		gate, up = m.ternary(path+f.gate, h), m.ternary(path+f.up, h)
	default:
		gate = m.linear(path+f.up, h)
	}
	if share := m.own[l].sparsity; share > 0 {
		cutAbove(gate, share)
	}
	for i, x := range gate {
		gate[i] = m.activate(path, x)
		if up != nil {
			gate[i] *= up[i]
		}
	}
	if f.subNorms {
		gate = m.norm(path+"ffn_sub_norm", gate)
	}
	return m.ternary(path+f.down, gate)
}

func (m *refModel) activate(path string, x float64) float64 {
	switch m.f.act {
	case "gelu":
		return x / 2 * (1 + math.Erf(x/math.Sqrt2))
	case "gelu_tanh":
		return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	case "relu2":
		return math.Pow(math.Max(x, 0), 2)
	case "xielu":
		return m.xielu(path+"act_fn.", x)
	}
	return x / (1 + math.Exp(-x))
}

func (m *refModel) xielu(path string, x float64) float64 {
	number := func(name string, otherwise float64) float64 {
		if w, ok := m.w[path+name]; ok {
			return w.v[0]
		}
		return otherwise
	}
	softplus := func(x float64) float64 { return math.Log1p(math.Exp(x)) }
	beta, eps := number("beta", 0.5), number("eps", -1e-6)
	if x > 0 {
		return softplus(number("alpha_p", 0))*x*x + beta*x
	}
	return (math.Expm1(math.Min(x, eps))-x)*(beta+softplus(number("alpha_n", 0))) + beta*x
}

func refScale(x []float64, by float64) {
	for i := range x {
		if by != 0 {
			x[i] *= by
		}
	}
}

// scoreScale is what scores of layer l are multiplied by.
func (m *refModel) scoreScale(l int) float64 {
	scale := m.f.scale
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(m.headDim))
	}
	if m.f.scaleByLayer {
		scale /= float64(l + 1)
	}
	return scale
}

// setLayers sets each layer's window and rotation.
func (m *refModel) setLayers(c refConfig) {
	if p := c.ropeSettings("full_attention"); m.kind == "phi3" && p["rope_type"] == "longrope" {
		m.recompute = int(p.num("original_max_position_embeddings", 0))
	}
	for i := range m.layers {
		kind, window := c.layerType(m.kind, i)
		m.windows = append(m.windows, window)
		r := c.rotation(m.kind, i, kind, c.headSize(m, i))
		m.ropes = append(m.ropes, r)
		m.own = append(m.own, c.layer(m, i))
	}
}

// rotation is that of layer i, nil for none.
func (c refConfig) rotation(kind string, i int, layerType string, headDim int) *refRope {
	local := layerType == "sliding_attention"
	plain := func(theta float64) *refRope {
		r := newRefRope(refConfig{"rope_theta": theta, "rope_traditional": c.flag("rope_traditional")}, headDim, layerType)
		return &r
	}
	switch kind {
	case "gpt2", "gpt_bigcode":
		return nil
	case "smollm3", "llama4_text":
		if list, ok := c["no_rope_layers"].([]any); ok {
			if list[i].(float64) == 0 {
				return nil
			}
		} else if (i+1)%int(c.num("no_rope_layer_interval", 4)) == 0 {
			return nil
		}
	case "cohere2":
		if !local {
			return nil
		}
	case "exaone4":
		if window, written := c["sliding_window"]; !local && (window != nil || !written) {
			return nil
		}
	case "gemma4_text":
		p := c.object("rope_parameters").object(layerType)
		if p == nil && local {
			p = refConfig{"rope_theta": 1e4}
		} else if p == nil {
			p = refConfig{"rope_theta": 1e6, "partial_rotary_factor": 0.25, "rope_type": "proportional"}
		}
		r := plain(p.num("rope_theta", 0))
		all := r.frequencies(0)
		for j := range all {
			if p["rope_type"] == "proportional" && j >= int(p.num("partial_rotary_factor", 1)*float64(headDim)/2) {
				all[j] = 0
			}
		}
		return r
	case "gemma3_text", "gemma3n_text":
		if local && c.object("rope_parameters") == nil {
			return plain(c.num("rope_local_base_freq", 10000))
		}
	case "olmo3":
		if local && c.object("rope_parameters") == nil {
			return plain(c.num("rope_theta", 500000))
		}
	case "hunyuan_v1_dense":
		if alpha := c.object("rope_scaling").num("alpha", 0); alpha > 0 {
			d := float64(headDim)
			return plain(c.num("rope_theta", 10000) * math.Pow(alpha, d/(d-2)))
		}
	}
	r := newRefRope(c, headDim, layerType)
	if scale := c.num("rope_position_scale", 1); kind == "phi3small" {
		same := r.frequencies
		r.frequencies = func(length int) (out []float64) {
			for _, f := range same(length) {
				out = append(out, f*scale)
			}
			return out
		}
	}
	if kind == "nanochat" { // the other way round
		forward := r.frequencies
		r.frequencies = func(length int) (back []float64) {
			for _, f := range forward(length) {
				back = append(back, -f)
			}
			return back
		}
	}
	return &r
}

// slidesByFamily reports whether layer i of the other families slides, and the window
// where the configuration gives none.
func (c refConfig) slidesByFamily(kind string, i int) (slides bool, otherwise float64) {
	switch kind {
	case "gemma2":
		return i%2 == 0, 4096
	case "gemma3_text":
		return (i+1)%int(c.num("sliding_window_pattern", 6)) != 0, 4096
	case "gemma4_text":
		return (i+1)%6 != 0, 512
	case "gemma3n_text":
		return (i+1)%5 != 0, 512
	case "cohere2":
		return (i+1)%int(c.num("sliding_window_pattern", 4)) != 0, 4096
	case "olmo3":
		return (i+1)%4 != 0, 4096
	case "exaone4":
		if letters, ok := c["sliding_window_pattern"].(string); ok {
			return letters[i%len(letters)] == 'L', 4096
		}
		return (i+1)%int(c.num("sliding_window_pattern", 4)) != 0, 4096
	case "phi3", "starcoder2", "ministral3":
		return true, 0
	}
	return false, 0
}
