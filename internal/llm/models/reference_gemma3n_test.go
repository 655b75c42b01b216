package models_test

import (
	"math"
	"slices"
)

// feedGemma3n is feed for Gemma 3n, from the formulas of transformers' modeling file.
func (m *refModel) feedGemma3n(s *refState, tokens []int) [][]float64 {
	start := s.length
	s.length += len(tokens)
	n := m.f.streams
	streams := make([][][]float64, len(tokens)) // token, stream
	inputs := make([][][]float64, len(tokens))  // token, layer
	for t, id := range tokens {
		x := slices.Clone(m.w["model.embed_tokens.weight"].row(id))
		refScale(x, m.f.embedScale)
		inputs[t] = m.layerInputs(id, x)
		streams[t] = [][]float64{x}
		for i := range n - 1 {
			streams[t] = append(streams[t], refSized(m.linear("model.altup_projections."+itoa(i), x), x))
		}
	}
	for l := range m.layers {
		for t := range tokens {
			m.layerGemma3n(l, s, streams[t], inputs[t][l], start+t, start+len(tokens))
		}
	}
	var out [][]float64
	for t := range tokens {
		sum := slices.Clone(streams[t][0])
		for i := range n - 1 {
			refAdd(sum, refSized(m.linear("model.altup_unembed_projections."+itoa(i), streams[t][i+1]), streams[t][0]))
		}
		refScale(sum, 1/float64(n))
		y := m.linear("model.embed_tokens", m.norm("model.norm", sum))
		for i, x := range y {
			y[i] = m.f.finalCap * math.Tanh(x/m.f.finalCap)
		}
		out = append(out, y)
	}
	return out
}

// refSized is y with the root mean square of like.
func refSized(y, like []float64) []float64 {
	y = slices.Clone(y)
	mean := func(x []float64) float64 { return refDot(x, x) / float64(len(x)) }
	refScale(y, math.Sqrt(mean(like))/math.Sqrt(math.Max(mean(y), 1e-5)))
	return y
}

// layerGemma3n changes the streams of one token in place.
func (m *refModel) layerGemma3n(l int, s *refState, streams [][]float64, input []float64, pos, length int) {
	n, path := len(streams), m.path(l)
	active := m.f.active
	modalities := func(x []float64) []float64 {
		y := m.norm(path+"altup.router_norm", x)
		refScale(y, 1/float64(m.hidden))
		y = m.linear(path+"altup.modality_router", y)
		for i := range y {
			y[i] = math.Tanh(y[i])
		}
		return y
	}
	mix := m.linear(path+"altup.prediction_coefs", modalities(streams[active]))
	predicted := make([][]float64, n)
	for j := range n {
		predicted[j] = slices.Clone(streams[j])
		for i := range n {
			for d, x := range streams[i] {
				predicted[j][d] += x * mix[j*n+i]
			}
		}
	}
	x := slices.Clone(predicted[active])
	h := m.norm(path+"input_layernorm", x)
	low := m.norm(path+"laurel.post_laurel_norm", m.linear(path+"laurel.linear_right", m.linear(path+"laurel.linear_left", h)))
	refAdd(x, m.norm(path+"post_attention_layernorm", m.attend(l, path+"self_attn.", s, h, pos, length)))
	refAdd(x, low)
	refAdd(x, h)
	refScale(x, math.Sqrt(0.5))
	refAdd(x, m.norm(path+"post_feedforward_layernorm", m.mlp(l, path+"mlp.", m.norm(path+"pre_feedforward_layernorm", x))))
	bounded := m.w[path+"altup.correction_coefs.weight"]
	bounded.v = slices.Clone(bounded.v)
	for i, w := range bounded.v {
		if m.f.coefBound > 0 {
			bounded.v[i] = math.Max(-m.f.coefBound, math.Min(m.f.coefBound, w))
		}
	}
	by, routed := make([]float64, n), modalities(x)
	for i := range by {
		by[i] = refDot(bounded.row(i), routed)
	}
	for i := range n {
		streams[i] = predicted[i]
	}
	was := slices.Clone(predicted[active])
	for i := range n {
		for d := range x {
			streams[i][d] += (x[d] - was[d]) * (by[i] + 1)
		}
	}
	first := slices.Clone(streams[active])
	if m.f.correctScale {
		for d, scale := range m.w[path+"altup.correct_output_scale"].v {
			first[d] *= scale
		}
	}
	y := m.gated(path, first, input)
	for i := 1; i < n; i++ {
		refAdd(streams[i], y)
	}
}

// cutAbove keeps what is above the mean by the deviations that leave a share of a normal
// distribution below.
func cutAbove(x []float64, share float64) {
	mean, variance := 0.0, 0.0
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		variance += (v - mean) * (v - mean) / float64(len(x))
	}
	low, high := -10.0, 10.0 // the quantile by halving
	for range 100 {
		mid := (low + high) / 2
		if (1+math.Erf(mid/math.Sqrt2))/2 < share {
			low = mid
		} else {
			high = mid
		}
	}
	for i, v := range x {
		x[i] = math.Max(0, v-mean-low*math.Sqrt(variance))
	}
}

// layerInputs are the embeddings of a token for each layer; x is its first one.
func (m *refModel) layerInputs(id int, x []float64) (out [][]float64) {
	if id >= m.f.layerVocab {
		id = 0
	}
	size := m.f.layerSize
	all := m.linear("model.per_layer_model_projection", x)
	refScale(all, 1/math.Sqrt(float64(m.hidden)))
	for l := range m.layers {
		y := m.norm("model.per_layer_projection_norm", all[l*size:(l+1)*size])
		for i, e := range m.w["model.embed_tokens_per_layer.weight"].row(id)[l*size : (l+1)*size] {
			y[i] = (y[i] + e*math.Sqrt(float64(size))) / math.Sqrt2
		}
		out = append(out, y)
	}
	return out
}

// gated is what x lets through of a layer's input.
func (m *refModel) gated(path string, x, input []float64) []float64 {
	gate := m.linear(path+"per_layer_input_gate", x)
	for i, g := range gate {
		gate[i] = m.activate("", g) * input[i]
	}
	return m.norm(path+"post_per_layer_input_norm", m.linear(path+"per_layer_projection", gate))
}

// finish ends layer l of Gemma 4 for token t, in place.
func (m *refModel) finish(l int, x []float64, inputs [][][]float64, t int) {
	if inputs != nil {
		refAdd(x, m.gated(m.path(l), x, inputs[t][l]))
	}
	if m.f.scalars {
		refScale(x, m.w[m.path(l)+"layer_scalar"].v[0])
	}
}
