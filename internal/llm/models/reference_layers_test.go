package models_test

import (
	"encoding/binary"
	"math"
)

// refLayer is what differs by layer in some families.
type refLayer struct {
	heads, kvHeads, d     int
	keysAreValues         bool
	attention, mlp        string // "", linear or none
	source                int    // n > 0: attends to the keys of layer n-1
	queryBeta, queryShift float64
	sparsity              float64
	sees                  func(head, query, key int) bool // beside the order and a window
}

// list is the numbers at key.
func (c refConfig) list(key string) (out []float64) {
	values, _ := c[key].([]any)
	for _, v := range values {
		out = append(out, v.(float64))
	}
	return out
}

// layer is what is special in layer i.
func (c refConfig) layer(m *refModel, i int) refLayer {
	o := refLayer{heads: m.heads, kvHeads: m.kvHeads, d: c.headSize(m, i), queryBeta: m.f.queryBeta}
	switch m.kind {
	case "openelm":
		o.heads, o.kvHeads = int(c.list("num_query_heads")[i]), int(c.list("num_kv_heads")[i])
	case "nemotron-nas":
		b := refConfig(c["block_configs"].([]any)[i].(map[string]any))
		attention, ffn := b.object("attention"), b.object("ffn")
		o.kvHeads = m.heads / int(attention.num("n_heads_in_group", 1))
		for what, to := range map[string]*string{"replace_with_linear": &o.attention, "no_op": &o.attention} {
			if attention.flag(what) {
				*to = map[string]string{"replace_with_linear": "linear", "no_op": "none"}[what]
			}
		}
		switch {
		case ffn.flag("no_op"):
			o.mlp = "none"
		case ffn.flag("replace_with_linear"):
			o.mlp = "linear"
		}
	case "afm7":
		if own := int(c.num("num_layers", 0) - c.num("num_kv_reuse_layers", 0)); i >= own {
			o.source = own
		}
	case "gemma4_text":
		o.source = c.sourceOf(m, i, int(c.num("num_kv_shared_layers", 0)))
		if full := m.windows[i] == 0; full && c.flag("attention_k_eq_v") {
			o.keysAreValues, o.kvHeads = true, int(c.num("num_global_key_value_heads", float64(m.kvHeads)))
		}
		if own := c.object("per_layer_config").object(itoa(i)); own != nil {
			o.kvHeads = int(own.num("num_key_value_heads", float64(m.kvHeads)))
		}
	case "gemma3n_text":
		if shares := c.list("activation_sparsity_pattern"); shares != nil {
			o.sparsity = shares[i]
		}
		o.source = c.sourceOf(m, i, int(c.num("num_kv_shared_layers", 15)))
	case "llama4_text":
		chunk := int(c.num("attention_chunk_size", 8192))
		if m.ropes[i] != nil && chunk > 0 {
			o.sees = func(_, query, key int) bool { return query/chunk == key/chunk }
		}
		if tuning, written := c["attn_temperature_tuning"].(bool); m.ropes[i] == nil && (tuning || !written) {
			o.queryBeta, o.queryShift = c.num("attn_scale", 0.1), 1
		}
	case "phi3small":
		if i%int(c.num("dense_attention_every_n_layers", 0)) != 0 {
			break
		}
		block, local, stride := int(c.num("blocksparse_block_size", 64)), int(c.num("blocksparse_num_local_blocks", 16)), int(c.num("blocksparse_vert_stride", 8))
		o.sees = func(head, query, key int) bool {
			return query/block-key/block < local || (key/block+head+1)%stride == 0
		}
	}
	return o
}

// sourceOf is where the last layers find their keys: in the last layer of their type
// before them.
func (c refConfig) sourceOf(m *refModel, i, shared int) (source int) {
	first := m.layers - shared
	for j := 0; j < first && i >= first; j++ {
		if (m.windows[j] > 0) == (m.windows[i] > 0) {
			source = j + 1
		}
	}
	return source
}

// headSize is that of the heads of layer i.
func (c refConfig) headSize(m *refModel, i int) int {
	if own := c.object("per_layer_config").object(itoa(i)); own != nil {
		return int(own.num("head_dim", float64(m.headDim)))
	}
	if m.kind == "gemma4_text" && m.windows[i] == 0 && c["per_layer_config"] == nil {
		return int(c.num("global_head_dim", 512))
	}
	return m.headDim
}

// path is where the parameters of layer l are.
func (m *refModel) path(l int) string {
	if n := m.own[l].source; n > 0 && m.kind == "afm7" {
		return "model.kv_reuse_layers." + itoa(l-n) + "."
	}
	return m.f.layers + "." + itoa(l) + "."
}

// ternary is linear, by BitNet's rules where the configuration has them.
func (m *refModel) ternary(path string, x []float64) []float64 {
	if m.f.ternary == "" {
		return m.linear(path, x)
	}
	top := 1e-5
	for _, v := range x {
		top = math.Max(top, math.Abs(v))
	}
	rounded := make([]float64, len(x))
	for i, v := range x {
		rounded[i] = math.Max(-128, math.Min(127, math.RoundToEven(v*127/top))) * top / 127
	}
	w := m.w[path+".weight"]
	t := refMatrix{w.rows, w.cols, make([]float64, len(w.v))}
	if m.f.ternary == "online" {
		mean := 0.0
		for _, v := range w.v {
			mean += math.Abs(v) / float64(len(w.v))
		}
		mean = math.Max(mean, 1e-5)
		for i, v := range w.v {
			t.v[i] = mean * math.Max(-1, math.Min(1, math.RoundToEven(v/mean)))
		}
	} else { // codes of a byte: rows i, i+n, i+2n, i+3n of n bytes rows
		t.rows = 4 * w.rows
		t.v = make([]float64, t.rows*t.cols)
		scale := m.w[path+".weight_scale"].v[0]
		if m.f.ternary == "inverse" {
			scale = 1 / scale
		}
		for i := range t.v {
			row, col := i/t.cols, i%t.cols
			code := int(w.v[row%w.rows*t.cols+col]) >> (2 * (row / w.rows)) & 3
			t.v[i] = float64(code-1) * scale
		}
	}
	y := make([]float64, t.rows)
	for i := range y {
		y[i] = refDot(t.row(i), rounded)
	}
	if b, ok := m.w[path+".bias"]; ok {
		refAdd(y, b.v)
	}
	return y
}

// repeat is the second pass of a looped layer.
func (m *refModel) repeat(l int, s *refState, x [][]float64, start int) {
	f, path := m.f, m.path(l)
	again := m.layers + l
	w, b := m.w["model.gate_projections."+itoa(l)+".weight"], m.w["model.gate_projections."+itoa(l)+".bias"]
	for i := range x {
		pos := start + i
		q, k, v := m.rotated(l, path+f.attention, m.norm(path+f.in, x[i]), pos, start+len(x))
		s.k[again], s.v[again] = append(s.k[again], k), append(s.v[again], v)
		far, near := m.mix(l, q, s.k[l], s.v[l], pos, 0), m.mix(l, q, s.k[again], s.v[again], pos, f.loopWindow)
		for h := range m.heads {
			head := q[h*m.headDim : (h+1)*m.headDim]
			g := 1 / (1 + math.Exp(-refDot(head, w.row(h))-b.v[h]))
			for n := h * m.headDim; n < (h+1)*m.headDim; n++ {
				far[n] = g*far[n] + (1-g)*near[n]
			}
		}
		refAdd(x[i], m.linear(path+f.attention+f.out, far))
		refAdd(x[i], m.mlp(l, path+f.mlp, m.norm(path+f.pre, x[i])))
	}
}

// refBytes are the codes of a tensor of bytes.
func refBytes(data []byte) (out []float64) {
	for _, b := range data {
		out = append(out, float64(binary.LittleEndian.Uint16([]byte{b, 0})))
	}
	return out
}

// unevenFamily are the families whose layers differ, and what else is not Llama-shaped.
func (c refConfig) unevenFamily(f *refFamily) {
	switch c["model_type"] {
	case "openelm":
		f.embed, f.layers, f.final = "transformer.token_embeddings", "transformer.layers", "transformer.norm"
		f.in, f.attention, f.pre, f.mlp = "attn_norm", "attn.", "ffn_norm", "ffn."
		f.qkv, f.out, f.gateUp, f.down = "qkv_proj", "out_proj", "proj_1", "proj_2"
		if c["normalize_qk_projections"] != false {
			f.heads = "each"
		}
		if c["ffn_with_glu"] == false {
			f.gateUp, f.gate, f.up = "", "", "proj_1"
		}
	case "afm7":
		f.embed, f.final, f.qkv, f.out = "model.embedding", "model.output_norm", "qkv_proj", "out_proj"
		f.heads, f.normAfterRope, f.headEps, f.stepped = "each", true, 1e-5, true
	case "gemma3n_text":
		f.act, f.heads, f.valueNorm, f.scale, f.finalCap, f.tiesWithoutHead = "gelu_tanh", "each", true, 1, c.num("final_logit_softcapping", 30), true
		f.streams, f.active, f.correctScale = int(c.num("altup_num_inputs", 4)), int(c.num("altup_active_idx", 0)), c["altup_correct_scale"] != false
		f.layerSize, f.layerVocab = int(c.num("hidden_size_per_layer_input", 256)), int(c.num("vocab_size_per_layer_input", 262144))
		f.embedScale, f.coefBound = math.Sqrt(c.num("hidden_size", 0)), c.cap("altup_coef_clip", 120)
	case "gemma4_text":
		f.afterAttention, f.pre, f.afterMLP = "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"
		f.act, f.heads, f.valueNorm, f.scale, f.finalCap = "gelu_tanh", "each", true, 1, c.cap("final_logit_softcapping", 0)
		f.embedScale, f.scalars = math.Sqrt(c.num("hidden_size", 0)), true
		f.layerSize, f.layerVocab = int(c.cap("hidden_size_per_layer_input", 256)), int(c.num("vocab_size_per_layer_input", 262144))
	case "iquestloopcoder":
		f.loopWindow = int(c.num("loop_window_size", 64))
	case "llama4_text":
		f.mlp, f.head, f.normAfterRope, f.queryOriginal = "feed_forward.", "output", true, c.num("floor_scale", 8192)
		if c["use_qk_norm"] != false {
			f.heads = "bare"
		}
	case "phi3small":
		f.norm, f.final, f.qkv, f.grouped, f.out, f.gateUp = "layer", "model.final_layernorm", "query_key_value", true, "dense", "up_proj"
		f.gegelu, f.embedScale, f.logitScale = c.num("gegelu_limit", 0), c.num("mup_embedding_multiplier", 10), 1/c.num("mup_width_multiplier", 8)
		if c["mup_use_scaling"] != false {
			f.scale = c.num("mup_attn_multiplier", 1) / (c.num("hidden_size", 0) / c.num("num_attention_heads", 1))
		}
		f.banned = map[int]bool{}
		for _, id := range c.list("dummy_token_indices") {
			f.banned[int(id)] = true
		}
	case "bitnet":
		f.subNorms, f.act = true, "relu2"
	}
	if q := c.object("quantization_config"); q["quant_method"] == "bitnet" {
		switch {
		case q["linear_class"] != "autobitlinear":
			f.ternary = "inverse"
		case q["quantization_mode"] == "online":
			f.ternary = "online"
		default:
			f.ternary = "packed"
		}
	}
}

// rotated are queries, keys and values of the token at pos.
func (m *refModel) rotated(l int, path string, h []float64, pos, length int) (q, k, v []float64) {
	f, d := m.f, m.own[l].d
	q, k, v = m.project(l, path, h)
	for _, part := range [][]float64{q, k, v} {
		for i, x := range part {
			if f.clip > 0 {
				part[i] = math.Max(-f.clip, math.Min(f.clip, x))
			}
		}
	}
	if !f.normAfterRope {
		m.normHeads(l, path, q, k)
	}
	if r := m.ropes[l]; r != nil {
		for _, part := range [][]float64{q, k} {
			for at := 0; at < len(part); at += d {
				r.rotate(part[at:at+d], pos, length)
			}
		}
	}
	if f.normAfterRope {
		m.normHeads(l, path, q, k)
	}
	if beta := m.own[l].queryBeta; beta != 0 {
		refScale(q, 1+beta*math.Log(1+math.Floor((float64(pos)+m.own[l].queryShift)/f.queryOriginal)))
	}
	for at := 0; m.f.valueNorm && at < len(v); at += d {
		copy(v[at:at+d], m.norm("", v[at:at+d]))
	}
	for i, part := range [][]float64{k, v} {
		for j := range part {
			if f.stepped {
				step := m.w[path+[]string{"quant_key_scale", "quant_value_scale"}[i]].v[0]
				part[j] = step * math.Max(-128, math.Min(127, math.RoundToEven(part[j]/step)))
			}
		}
	}
	return q, k, v
}

// mix is what the queries of the token at pos take from the values.
func (m *refModel) mix(l int, q []float64, keys, values [][]float64, pos, window int) []float64 {
	f, d, heads, kvHeads := m.f, m.own[l].d, m.own[l].heads, m.own[l].kvHeads
	from := 0
	if window > 0 {
		from = max(0, pos-window+1)
	}
	y := make([]float64, heads*d)
	for head := range heads {
		at := head / (heads / kvHeads) * d
		if f.headsInTurn {
			at = head % kvHeads * d
		}
		var seen []int
		for j := from; j <= pos; j++ {
			if m.own[l].sees == nil || m.own[l].sees(head, pos, j) {
				seen = append(seen, j)
			}
		}
		scores := make([]float64, len(seen))
		for i, j := range seen {
			scores[i] = refDot(q[head*d:(head+1)*d], keys[j][at:at+d]) * m.scoreScale(l)
			if f.softCap > 0 {
				scores[i] = f.softCap * math.Tanh(scores[i]/f.softCap)
			}
		}
		for i, p := range refSoftmax(scores) {
			for n := range d {
				y[head*d+n] += p * values[seen[i]][at+n]
			}
		}
	}
	return y
}

// out is the last matrix of attention.
func (m *refModel) out(path string, y []float64) []float64 {
	if m.f.subNorms {
		y = m.norm(path+"attn_sub_norm", y)
	}
	return m.ternary(path+m.f.out, y)
}
