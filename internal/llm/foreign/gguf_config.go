package foreign

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/mlxgo/mlx/internal/hf/gguf"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

// ggufArch is an architecture of llama.cpp that has a model type here.
type ggufArch struct {
	modelType string // Hugging Face's
	class     string // and its name of the class
	// permuted: rows of q and k alternate between the halves that rotate together
	// (Llama's own order), which Hugging Face keeps one after the other.
	permuted bool
	// plusOne: weights of norms have 1 added.
	plusOne bool
	// parts are Hugging Face's names of what is in a block.
	parts map[string]string
	// more adds what only this architecture has.
	more func(m *ggufModel, c map[string]any) error
}

// ggufParts are the names in a block that most architectures share.
var ggufParts = map[string]string{
	"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
	"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
	"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}

// withParts are ggufParts with others.
func withParts(more map[string]string) map[string]string {
	out := maps.Clone(ggufParts)
	maps.Copy(out, more)
	return out
}

var (
	normedHeads   = map[string]string{"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
	sandwichParts = map[string]string{"post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm", "post_ffw_norm": "post_feedforward_layernorm"}
)

var ggufArchs = map[string]*ggufArch{
	"llama":  {modelType: "llama", class: "LlamaForCausalLM", permuted: true, parts: ggufParts},
	"qwen2":  {modelType: "qwen2", class: "Qwen2ForCausalLM", parts: ggufParts},
	"qwen3":  {modelType: "qwen3", class: "Qwen3ForCausalLM", parts: withParts(normedHeads)},
	"gemma":  {modelType: "gemma", class: "GemmaForCausalLM", plusOne: true, parts: ggufParts},
	"gemma2": {modelType: "gemma2", class: "Gemma2ForCausalLM", plusOne: true, parts: withParts(sandwichParts), more: (*ggufModel).gemma2},
	"gemma3": {modelType: "gemma3_text", class: "Gemma3ForCausalLM", plusOne: true, parts: withParts(merge(sandwichParts, normedHeads)), more: (*ggufModel).gemma3},
}

func merge(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func ggufArchOf(name string) (*ggufArch, error) {
	if a, ok := ggufArchs[name]; ok {
		return a, nil
	}
	return nil, fmt.Errorf("GGUF files of the architecture %q are not supported; those of %s are", name, strings.Join(slices.Sorted(maps.Keys(ggufArchs)), ", "))
}

func marshalGGUF(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}

// counts reads keys of the architecture that are counts; a missing one without a default
// (negative) is an error.
func (m *ggufModel) counts(want []ggufCount) error {
	for _, w := range want {
		key := m.name + "." + w.key
		n, err := m.int(key, w.otherwise)
		if err != nil {
			return err
		}
		if n < 0 {
			return fmt.Errorf("%s is missing", key)
		}
		*w.to = n
	}
	return nil
}

type ggufCount struct {
	key       string
	to        *int
	otherwise int
}

// leastContext is the least context_length that is believed: llama.cpp's converter of
// llama2.c models writes 128 whatever the model has, and no model has so little.
const leastContext = 256

// config is config.json but for what depends on the tensors.
func (m *ggufModel) config() (map[string]any, error) {
	var hidden, inner, context, experts, value, rotary int
	err := m.counts([]ggufCount{
		{"block_count", &m.blocks, -1}, {"embedding_length", &hidden, -1}, {"feed_forward_length", &inner, -1},
		{"attention.head_count", &m.heads, -1}, {"context_length", &context, 0}, {"expert_count", &experts, 0},
	})
	if err != nil {
		return nil, err
	}
	if experts > 0 {
		return nil, fmt.Errorf("%s.expert_count is %d: mixtures of experts in GGUF files are not supported", m.name, experts)
	}
	if m.heads == 0 || m.heads > 1<<16 {
		return nil, fmt.Errorf("%s.attention.head_count is %d", m.name, m.heads)
	}
	if err := m.checkBlocks(); err != nil {
		return nil, err
	}
	if err := m.counts([]ggufCount{{"attention.head_count_kv", &m.kvHeads, m.heads}, {"attention.key_length", &m.headDim, hidden / m.heads}}); err != nil {
		return nil, err
	}
	if err := m.counts([]ggufCount{{"attention.value_length", &value, m.headDim}, {"rope.dimension_count", &rotary, m.headDim}}); err != nil {
		return nil, err
	}
	if m.kvHeads == 0 || m.headDim < 2 || m.headDim%2 != 0 || m.headDim > 1<<16 || m.kvHeads > m.heads {
		return nil, fmt.Errorf("%s: %d heads for queries and %d for keys, of %d features, are not possible", m.name, m.heads, m.kvHeads, m.headDim)
	}
	if value != m.headDim {
		return nil, fmt.Errorf("%s.attention.value_length %d differs from key_length %d, which is not supported", m.name, value, m.headDim)
	}
	if rotary <= 0 || rotary > m.headDim || rotary%2 != 0 {
		return nil, fmt.Errorf("%s.rope.dimension_count is %d for heads of %d", m.name, rotary, m.headDim)
	}
	vocab, err := m.vocabSize(hidden)
	if err != nil {
		return nil, err
	}
	eps, err := m.float(m.name+".attention.layer_norm_rms_epsilon", 1e-5)
	if err != nil {
		return nil, err
	}
	c := map[string]any{
		"architectures": []string{m.arch.class}, "model_type": m.arch.modelType, "hidden_size": hidden, "intermediate_size": inner,
		"num_hidden_layers": m.blocks, "num_attention_heads": m.heads, "num_key_value_heads": m.kvHeads, "head_dim": m.headDim,
		"vocab_size": vocab, "rms_norm_eps": shortFloat(eps),
	}
	if context < leastContext {
		context = 0
	}
	if context > 0 {
		c["max_position_embeddings"] = context
	}
	if rotary != m.headDim {
		c["partial_rotary_factor"] = float64(rotary) / float64(m.headDim)
	}
	if err := m.rope(c, rotary, context); err != nil {
		return nil, err
	}
	if m.arch.more != nil {
		err = m.arch.more(m, c)
	}
	return c, err
}

// shortFloat is the shortest number with the float32 value of x: 1e-05, not
// 9.999999747378752e-06.
func shortFloat(x float64) json.Number {
	b, err := json.Marshal(float32(x))
	if err != nil { // not finite: the model's checks name it
		return "0"
	}
	return json.Number(b)
}

// checkBlocks holds block_count against the tensors.
func (m *ggufModel) checkBlocks() error {
	seen := map[string]bool{}
	for _, t := range m.file.Tensors() {
		if rest, ok := strings.CutPrefix(t.Name, "blk."); ok {
			n, _, _ := strings.Cut(rest, ".")
			seen[n] = true
		}
	}
	if m.blocks != len(seen) || m.blocks == 0 {
		return fmt.Errorf("%s.block_count is %d, and there are tensors of %d blocks", m.name, m.blocks, len(seen))
	}
	return nil
}

// vocabSize is the rows of the embedding, which the vocabulary must have.
func (m *ggufModel) vocabSize(hidden int) (int, error) {
	t, ok := m.tensor("token_embd.weight")
	if !ok || len(t.Shape) != 2 {
		return 0, fmt.Errorf("there is no matrix token_embd.weight")
	}
	if t.Shape[1] != hidden {
		return 0, fmt.Errorf("token_embd.weight has shape %v, and %s.embedding_length is %d", t.Shape, m.name, hidden)
	}
	if v, ok := m.file.Value("tokenizer.ggml.tokens"); ok && v.Len() != t.Shape[0] {
		return 0, fmt.Errorf("tokenizer.ggml.tokens has %d tokens, and token_embd.weight has %d rows", v.Len(), t.Shape[0])
	}
	return t.Shape[0], nil
}

// rope adds the rotation.
func (m *ggufModel) rope(c map[string]any, rotary, context int) error {
	theta, err := m.float(m.name+".rope.freq_base", 10000)
	if err != nil {
		return err
	}
	c["rope_theta"] = shortFloat(theta)
	prefix := m.name + ".rope.scaling."
	kind, err := m.text(prefix + "type")
	if err != nil {
		return err
	}
	factor, err := m.float(prefix+"factor", 0)
	if err != nil {
		return err
	}
	if old, err := m.float(m.name+".rope.scale_linear", 0); err != nil {
		return err
	} else if kind == "" && old > 0 && old != 1 {
		kind, factor = "linear", old
	}
	original, err := m.int(prefix+"original_context_length", 0)
	if err != nil {
		return err
	}
	freqs, hasFreqs := m.tensor("rope_freqs.weight")
	switch {
	case hasFreqs && (kind == "" || kind == "none"):
		return m.ropeFreqs(c, freqs, theta, rotary, context)
	case hasFreqs:
		return fmt.Errorf("rope_freqs.weight together with %stype %q is not supported", prefix, kind)
	case kind == "" || kind == "none":
		return nil
	case kind == "linear":
		c["rope_scaling"] = map[string]any{"rope_type": "linear", "factor": factor}
		return nil
	case kind == "yarn":
		s := map[string]any{"rope_type": "yarn", "factor": factor}
		if original > 0 {
			s["original_max_position_embeddings"] = original
		}
		for key, name := range map[string]string{"yarn_beta_fast": "beta_fast", "yarn_beta_slow": "beta_slow"} {
			if x, err := m.float(prefix+key, 0); err != nil {
				return err
			} else if x > 0 {
				s[name] = x
			}
		}
		c["rope_scaling"] = s
		return nil
	}
	return fmt.Errorf("%stype %q is not supported", prefix, kind)
}

// ropeFreqs makes a rope_scaling of what the frequencies are divided by: Llama 3's, if
// it gives these numbers, else each by itself.
func (m *ggufModel) ropeFreqs(c map[string]any, t gguf.Tensor, theta float64, rotary, context int) error {
	if t.Elements() != rotary/2 {
		return fmt.Errorf("rope_freqs.weight has %d numbers, and %d features rotate", t.Elements(), rotary)
	}
	factors := make([]float32, t.Elements())
	gguf.Dequantize(factors, t.Type, t.Data)
	for _, f := range factors {
		if !(f > 0) || math.IsInf(float64(f), 0) {
			return fmt.Errorf("rope_freqs.weight has the value %v, which divides no frequency", f)
		}
	}
	largest := float64(slices.Max(factors))
	for _, original := range []int{8192, 4096, 2048, context} {
		if sameFactors(factors, Llama3Factors(theta, rotary, largest, 1, 4, float64(original))) {
			c["rope_scaling"] = map[string]any{"rope_type": "llama3", "factor": largest, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
				"original_max_position_embeddings": original}
			return nil
		}
	}
	c["rope_scaling"] = map[string]any{"rope_type": "longrope", "long_factor": factors, "short_factor": factors, "attention_factor": 1.0,
		"original_max_position_embeddings": max(context, 1)}
	return nil
}

func sameFactors(a, b []float32) bool {
	for i := range a {
		if math.Abs(float64(a[i]-b[i])) > 1e-5*float64(b[i]) {
			return false
		}
	}
	return true
}

// Llama3Factors is what Llama 3 divides its rotary frequencies by, one for each pair of
// dims features: 1 for waves shorter than original/high positions, factor for those
// longer than original/low, and between them a blend. It is the content of
// rope_freqs.weight. Source: transformers modeling_rope_utils, rope type llama3.
func Llama3Factors(theta float64, dims int, factor, low, high, original float64) []float32 {
	out := make([]float32, dims/2)
	for i := range out {
		wave := 2 * math.Pi * math.Pow(theta, float64(2*i)/float64(dims))
		switch {
		case wave < original/high:
			out[i] = 1
		case wave > original/low:
			out[i] = float32(factor)
		default:
			smooth := (original/wave - low) / (high - low)
			out[i] = float32(1 / ((1-smooth)/factor + smooth))
		}
	}
	return out
}

// gemma2 adds the caps, the window and the scale of queries, which llama.cpp derives
// from the number of layers.
func (m *ggufModel) gemma2(c map[string]any) error {
	for key, name := range map[string]string{"attn_logit_softcapping": "attn_logit_softcapping", "final_logit_softcapping": "final_logit_softcapping"} {
		x, err := m.float(m.name+"."+key, 0)
		if err != nil {
			return err
		}
		if x > 0 {
			c[name] = x
		}
	}
	return m.gemmaWindow(c, 46)
}

// gemma3 is gemma2 without caps, with a rotation of its own where layers slide.
func (m *ggufModel) gemma3(c map[string]any) error {
	c["rope_local_base_freq"] = 10000
	c["sliding_window_pattern"] = 6
	return m.gemmaWindow(c, 62)
}

// gemmaWindow adds the window and the scale: that of a head, and in the 27B model, the
// one with so many layers, that of hidden_size over the heads.
func (m *ggufModel) gemmaWindow(c map[string]any, largest int) error {
	window, err := m.int(m.name+".attention.sliding_window", 4096)
	if err != nil {
		return err
	}
	c["sliding_window"] = window
	c["query_pre_attn_scalar"] = m.headDim
	if m.blocks == largest {
		c["query_pre_attn_scalar"] = c["hidden_size"].(int) / m.heads
	}
	return nil
}

// finishConfig adds what the tensors say.
func (m *ggufModel) finishConfig(c map[string]any, tensors []weights.Tensor, schemes map[string]int) map[string]any {
	names := map[string]weights.Tensor{}
	for _, t := range tensors {
		names[t.Name] = t
	}
	_, head := names["lm_head.weight"]
	c["tie_word_embeddings"] = !head
	_, c["attention_bias"] = names["model.layers.0.self_attn.q_proj.bias"]
	_, c["mlp_bias"] = names["model.layers.0.mlp.down_proj.bias"]
	embedding, ok := names["model.embed_tokens.scales"]
	if !ok {
		embedding = names["model.embed_tokens.weight"]
	}
	c["torch_dtype"] = embedding.DType.String()
	if ids, err := m.eosIDs(); err == nil && len(ids) > 0 { // the file's faults are told by tokenizer.json
		c["eos_token_id"] = ids
	}
	if id, ok := m.tokenID("bos"); ok {
		c["bos_token_id"] = id
	}
	if len(schemes) > 0 {
		c["quantization"] = ggufQuantization(schemes)
	}
	return c
}

// ggufQuantization is MLX's block for paths with these bits: what most have, and the
// others by name.
func ggufQuantization(schemes map[string]int) map[string]any {
	n := map[int]int{}
	for _, bits := range schemes {
		n[bits]++
	}
	whole := 4
	if n[8] > n[4] {
		whole = 8
	}
	q := map[string]any{"group_size": 32, "bits": whole, "mode": "affine"}
	for path, bits := range schemes {
		if bits != whole {
			q[path] = map[string]any{"group_size": 32, "bits": bits, "mode": "affine"}
		}
	}
	return q
}
