package models_test

import (
	"math"
	"strings"
)

// refFamily is what a family does, by the names of its files. Zero values do nothing.
type refFamily struct {
	embed, positions, layers, final, head   string
	in, afterAttention, pre, afterMLP       string // norms, by what they are for
	attention, mlp                          string // prefixes with a dot
	q, k, v, qkv, out, qNorm, kNorm         string
	gate, up, gateUp, down                  string
	norm                                    string // rms, layer; +1 adds one to the weight
	heads                                   string // norm of heads: each, whole, rows, apart, layer
	act                                     string
	grouped, upFirst, parallel, headsInTurn bool
	normAfterRope, embedNorm                bool
	tiesWithoutHead                         bool
	embedScale, residual, logitScale        float64 // 0 counts as 1
	scale, softCap, finalCap, clip          float64
	scaleByLayer                            bool
	queryBeta, queryOriginal                float64
	headEps, gegelu, coefBound              float64
	stepped, subNorms, valueNorm            bool
	ternary                                 string // packed, inverse or online
	loopWindow                              int
	streams, active, layerSize, layerVocab  int // gemma3n
	correctScale, scalars                   bool
	banned                                  map[int]bool
}

// translate gives the keys of GPT-like configurations their common names.
func (c refConfig) translate() {
	for _, pair := range [][2]string{{"n_embd", "hidden_size"}, {"n_layer", "num_hidden_layers"}, {"n_head", "num_attention_heads"},
		{"n_kv_heads", "num_key_value_heads"}, {"num_layers", "num_hidden_layers"}, {"d_model", "hidden_size"}, {"n_layers", "num_hidden_layers"},
		{"n_heads", "num_attention_heads"}, {"rotary_pct", "partial_rotary_factor"}, {"rotary_emb_base", "rope_theta"}, {"kv_channels", "head_dim"},
		{"num_transformer_layers", "num_hidden_layers"}, {"model_dim", "hidden_size"}, {"hidden_dim", "hidden_size"}, {"num_heads", "num_attention_heads"},
		{"num_kv_heads", "num_key_value_heads"}, {"rope_freq_constant", "rope_theta"}, {"rope_embedding_base", "rope_theta"},
		{"share_input_output_layers", "tie_word_embeddings"}} {
		if v, ok := c[pair[0]]; ok {
			c[pair[1]] = v
		}
	}
	kind := c["model_type"].(string)
	c.fill(kind)
	_, first := c["d_model"]
	switch {
	case kind == "olmo" && !first:
	case setOf("gpt2", "gpt_bigcode", "gpt_neox", "qwen", "olmo")[kind]:
		delete(c, "num_key_value_heads")
		if multi, ok := c["multi_query"].(bool); kind == "gpt_bigcode" && (!ok || multi) {
			c["num_key_value_heads"] = 1.0
		}
		if kind != "qwen" {
			delete(c, "head_dim")
		}
	case setOf("lille-130m", "nanochat", "afm7", "nemotron-nas", "phi3small")[kind]:
		delete(c, "head_dim")
	case kind == "plamo":
		c["num_key_value_heads"] = math.Ceil(c.num("num_attention_heads", 0) / c.num("n_shared_head", 8))
	}
	for _, key := range []string{"layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps"} {
		if v, ok := c[key].(float64); ok && refEpsKey[kind] == key {
			c["norm_eps_of_all"] = v
		}
	}
	switch kind {
	case "olmo", "nanochat":
		c["norm_eps_of_all"] = 1e-5
	}
	defaults := map[string]float64{"glm": 0.5, "glm4": 0.5, "phi": 0.5, "nemotron": 0.5, "stablelm": 0.25, "gpt_neox": 0.25}
	if v := defaults[kind]; v != 0 {
		c["partial_rotary_factor"] = c.num("partial_rotary_factor", v)
	}
	switch kind {
	case "cohere", "cohere2", "glm", "helium", "ernie4_5", "lille-130m", "afm7", "llama4_text":
		c["rope_traditional"] = true
	case "glm4":
		if _, ok := c["rope_traditional"]; !ok {
			c["rope_traditional"] = true
		}
	}
}

// refDefaults are values that configuration classes have for keys that are missing.
var refDefaults = map[string]refConfig{
	"apertus":    {"rms_norm_eps": 1e-5},
	"ernie4_5":   {"rms_norm_eps": 1e-5, "head_dim": 128.0, "rope_theta": 5e5},
	"glm":        {"rms_norm_eps": 1.5625e-7, "head_dim": 128.0, "attention_bias": true},
	"glm4":       {"rms_norm_eps": 1.5625e-7, "head_dim": 128.0, "attention_bias": true},
	"helium":     {"rms_norm_eps": 1e-8, "head_dim": 128.0, "rope_theta": 1e5},
	"ministral3": {"rms_norm_eps": 1e-5, "head_dim": 128.0},
	"qwen3":      {"head_dim": 128.0},
}

// fill sets what is missing to the family's defaults.
func (c refConfig) fill(kind string) {
	for key, v := range refDefaults[kind] {
		if _, written := c[key]; !written {
			c[key] = v
		}
	}
	ropeless := c["rope_theta"] == nil && c["rope_scaling"] == nil && c["rope_parameters"] == nil
	switch {
	case kind == "ministral3" && ropeless:
		c["rope_parameters"] = map[string]any{"type": "yarn", "rope_theta": 1e6, "factor": 16.0, "original_max_position_embeddings": 16384.0,
			"beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1}
	case kind == "apertus" && ropeless:
		c["rope_parameters"] = map[string]any{"rope_type": "llama3", "rope_theta": 12e6, "factor": 8.0, "original_max_position_embeddings": 8192.0,
			"low_freq_factor": 1.0, "high_freq_factor": 4.0}
	case kind == "afm7" || kind == "phi3small":
		c["tie_word_embeddings"] = true
	case kind == "phi3":
		for _, key := range []string{"rope_scaling", "rope_parameters"} {
			for _, name := range []string{"type", "rope_type"} {
				if p := c.object(key); p[name] == "yarn" || p[name] == "su" {
					p[name] = "longrope"
				}
			}
		}
	}
}

// refEpsKey is where a family keeps its epsilon, if not at rms_norm_eps.
var refEpsKey = map[string]string{"cohere": "layer_norm_eps", "cohere2": "layer_norm_eps", "phi": "layer_norm_eps", "stablelm": "layer_norm_eps",
	"gpt_neox": "layer_norm_eps", "lille-130m": "layer_norm_eps", "gpt2": "layer_norm_epsilon", "gpt_bigcode": "layer_norm_epsilon",
	"exaone": "layer_norm_epsilon", "qwen": "layer_norm_epsilon", "phi3small": "layer_norm_epsilon", "starcoder2": "norm_epsilon", "nemotron": "norm_eps"}

// family is Llama with what the model type changes.
func (c refConfig) family() refFamily {
	f := refFamily{embed: "model.embed_tokens", layers: "model.layers", final: "model.norm", head: "lm_head",
		in: "input_layernorm", pre: "post_attention_layernorm", attention: "self_attn.", mlp: "mlp.",
		q: "q_proj", k: "k_proj", v: "v_proj", out: "o_proj", qNorm: "q_norm", kNorm: "k_norm",
		gate: "gate_proj", up: "up_proj", down: "down_proj", norm: "rms", act: "silu"}
	hidden := c.num("hidden_size", 0)
	postOnly := func() {
		f.in, f.afterAttention, f.pre, f.afterMLP = "", "post_attention_layernorm", "", "post_feedforward_layernorm"
	}
	switch c["model_type"] {
	case "qwen3":
		f.heads = "each"
	case "phi3":
		f.qkv, f.gateUp = "qkv_proj", "gate_up_proj"
	case "granite":
		f.embedScale, f.scale, f.residual = c.num("embedding_multiplier", 1), c.num("attention_multiplier", 1), c.num("residual_multiplier", 1)
		f.logitScale = 1 / c.num("logits_scaling", 1)
	case "minicpm":
		f.tiesWithoutHead = true
		f.embedScale, f.residual = c.num("scale_emb", 1), c.num("scale_depth", 1)/math.Sqrt(c.num("num_hidden_layers", 0))
		f.logitScale = c.num("dim_model_base", hidden) / hidden
	case "gemma", "gemma2", "gemma3_text":
		f.norm, f.act, f.embedScale, f.tiesWithoutHead = "rms+1", "gelu_tanh", math.Sqrt(hidden), true
		if c["model_type"] != "gemma" {
			f.afterAttention, f.pre, f.afterMLP = "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"
			f.scale = 1 / math.Sqrt(c.num("query_pre_attn_scalar", 256))
		}
		if c["model_type"] == "gemma2" {
			f.softCap, f.finalCap = c.cap("attn_logit_softcapping", 50), c.cap("final_logit_softcapping", 30)
		}
		if c["model_type"] == "gemma3_text" {
			f.heads = "each"
			f.softCap, f.finalCap = c.num("attn_logit_softcapping", 0), c.num("final_logit_softcapping", 0)
		}
	case "olmo":
		f.norm, f.clip = "layer", c.num("clip_qkv", 0)
		if _, first := c["d_model"]; first {
			f.embed, f.layers, f.final, f.head, f.attention, f.mlp = "model.transformer.wte", "model.transformer.blocks", "", "model.transformer.ff_out", "", ""
			f.qkv, f.out, f.gateUp, f.upFirst, f.down = "att_proj", "attn_out", "ff_proj", true, "ff_out"
		}
	case "olmo2", "olmo3":
		postOnly()
		f.heads = "whole"
	case "exaone4":
		postOnly()
		f.heads = "each"
	case "cohere", "cohere2":
		f.norm, f.pre, f.parallel, f.tiesWithoutHead, f.logitScale = "layer", "", true, true, c.num("logit_scale", 0.0625)
		if c.flag("use_qk_norm") {
			f.heads = "rows"
		}
	case "glm", "glm4":
		f.gateUp = "gate_up_proj"
		if c["model_type"] == "glm4" {
			f.afterAttention, f.afterMLP = "post_self_attn_layernorm", "post_mlp_layernorm"
		}
	case "ministral3":
		p := c.ropeSettings("full_attention")
		f.queryBeta, f.queryOriginal = p.num("llama_4_scaling_beta", 0), p.num("original_max_position_embeddings", 1)
	case "hunyuan_v1_dense":
		f.heads, f.normAfterRope, f.qNorm, f.kNorm, f.tiesWithoutHead = "each", true, "query_layernorm", "key_layernorm", true
	case "internlm2":
		f.embed, f.head, f.in, f.pre, f.attention, f.mlp = "model.tok_embeddings", "output", "attention_norm", "ffn_norm", "attention.", "feed_forward."
		f.qkv, f.grouped, f.out, f.gate, f.up, f.down = "wqkv", true, "wo", "w1", "w3", "w2"
	case "exaone":
		f.embed, f.layers, f.final, f.in, f.pre, f.attention = "transformer.wte", "transformer.h", "transformer.ln_f", "ln_1", "ln_2", "attn.attention."
		f.out, f.gate, f.up, f.down = "out_proj", "c_fc_0", "c_fc_1", "c_proj"
	case "qwen":
		f.embed, f.layers, f.final, f.in, f.pre, f.attention = "transformer.wte", "transformer.h", "transformer.ln_f", "ln_1", "ln_2", "attn."
		f.qkv, f.out, f.gate, f.up, f.down = "c_attn", "c_proj", "w2", "w1", "c_proj"
	case "lille-130m":
		f.tiesWithoutHead = true
		f.embed, f.layers, f.final = "transformer.tok_embeddings", "transformer.layers", "transformer.norm"
		f.in, f.pre, f.attention, f.mlp, f.qkv, f.out = "attention.norm", "feed_forward.norm", "attention.", "feed_forward.", "qkv_proj", "out_proj"
	case "nanochat":
		f.embed, f.layers, f.final, f.attention = "transformer.wte", "transformer.h", "-", "attn."
		f.in, f.pre, f.embedNorm, f.heads, f.normAfterRope, f.finalCap = "-", "-", true, "each", true, 15
		f.q, f.k, f.v, f.out, f.gate, f.up, f.down, f.act = "c_q", "c_k", "c_v", "c_proj", "", "c_fc", "c_proj", "relu2"
	case "plamo":
		f.layers, f.in, f.pre, f.parallel, f.headsInTurn = "model.layers.layers", "norm", "", true, true
	default:
		c.plainFamily(&f)
	}
	c.unevenFamily(&f)
	return f
}

// plainFamily are the families with a plain MLP, and StableLM.
func (c refConfig) plainFamily(f *refFamily) {
	switch c["model_type"] {
	case "arcee":
		f.gate, f.act = "", "relu2"
	case "apertus":
		f.gate, f.act, f.in, f.pre, f.heads = "", "xielu", "attention_layernorm", "feedforward_layernorm", "each"
	case "nemotron":
		f.gate, f.act, f.norm = "", "relu2", "layer+1"
	case "starcoder2":
		f.gate, f.up, f.down, f.act, f.norm = "", "c_fc", "c_proj", "gelu_tanh", "layer"
	case "phi":
		f.gate, f.up, f.down, f.act, f.norm = "", "fc1", "fc2", "gelu_tanh", "layer"
		f.final, f.out, f.pre, f.parallel, f.qNorm, f.kNorm = "model.final_layernorm", "dense", "", true, "q_layernorm", "k_layernorm"
		if c.flag("qk_layernorm") {
			f.heads = "layer"
		}
	case "gpt2", "gpt_bigcode":
		at := "model."
		if c["model_type"] == "gpt_bigcode" {
			at = "transformer."
			f.grouped = c["multi_query"] == false
		}
		f.embed, f.positions, f.layers, f.final, f.in, f.pre = at+"wte", at+"wpe", at+"h", at+"ln_f", "ln_1", "ln_2"
		f.attention, f.qkv, f.out, f.gate, f.up, f.down = "attn.", "c_attn", "c_proj", "", "c_fc", "c_proj"
		f.norm, f.act, f.tiesWithoutHead, f.scaleByLayer = "layer", "gelu_tanh", true, c.flag("scale_attn_by_inverse_layer_idx")
	case "gpt_neox":
		f.embed, f.layers, f.final, f.head, f.attention = "model.embed_in", "model.h", "model.final_layer_norm", "model.embed_out", "attention."
		f.qkv, f.grouped, f.out, f.gate, f.up, f.down = "query_key_value", true, "dense", "", "dense_h_to_4h", "dense_4h_to_h"
		f.norm, f.act, f.parallel = "layer", "gelu", c["use_parallel_residual"] != false
	case "stablelm":
		f.norm, f.qNorm, f.kNorm = "layer", "q_layernorm", "k_layernorm"
		if c.flag("use_parallel_residual") {
			f.parallel, f.pre = true, ""
		}
		if c.flag("qk_layernorm") {
			f.heads = "apart"
		}
	}
}

// cap is a number that is otherwise when missing, and 0 when null.
func (c refConfig) cap(key string, otherwise float64) float64 {
	if v, written := c[key]; written && v == nil {
		return 0
	}
	return c.num(key, otherwise)
}

// refRename gives Hugging Face's weights of GPT-2 and GPT-NeoX mlx-lm's names and form.
func refRename(kind string, w map[string]refMatrix) map[string]refMatrix {
	if kind != "gpt2" && kind != "gpt_neox" {
		return w
	}
	out := map[string]refMatrix{}
	for name, m := range w {
		conv := kind == "gpt2" && strings.HasPrefix(name, "transformer.") && m.cols > 1 && !strings.Contains(name, "wte") && !strings.Contains(name, "wpe")
		name = strings.Replace(strings.Replace(name, "transformer.", "model.", 1), "gpt_neox.layers.", "model.h.", 1)
		name = strings.Replace(name, "gpt_neox.", "model.", 1)
		if strings.HasPrefix(name, "embed_out") {
			name = "model." + name
		}
		if conv {
			t := refMatrix{m.cols, m.rows, make([]float64, len(m.v))}
			for i := range m.rows {
				for j := range m.cols {
					t.v[j*m.rows+i] = m.v[i*m.cols+j]
				}
			}
			m = t
		}
		out[name] = m
	}
	return out
}
