package models_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
)

// families are the model types whose configurations differ from Llama's, with what a
// random one may say.
var families = map[string]func(r *rand.Rand, c llmtest.Config){
	"afm7": func(r *rand.Rand, c llmtest.Config) {
		c["hidden_dim"], c["num_layers"], c["num_kv_reuse_layers"], c["num_heads"], c["num_kv_heads"] = 64, c["num_hidden_layers"], r.IntN(2), 4, pick(r, 2, 4)
		c["hidden_dim_scale_factor"], c["rope_theta"] = 1.5, 5e4
	},
	"apertus": biases,
	"arcee":   biases,
	"bitnet":  bitnet,
	"cohere":  cohere,
	"cohere2": func(r *rand.Rand, c llmtest.Config) { cohere(r, c); windowed(r, c); delete(c, "use_qk_norm") },
	"ernie4_5": func(r *rand.Rand, c llmtest.Config) {
		c["use_bias"] = chance(r, 50)
	},
	"exaone": func(r *rand.Rand, c llmtest.Config) {
		c["num_layers"], c["layer_norm_epsilon"], c["attention_bias"] = c["num_hidden_layers"], 1e-5, chance(r, 30)
	},
	"exaone4": func(r *rand.Rand, c llmtest.Config) {
		windowed(r, c)
		if chance(r, 50) {
			c["sliding_window_pattern"] = pick(r, "LLLG", "LG")
		}
	},
	"gemma": func(*rand.Rand, llmtest.Config) {},
	"gemma2": func(r *rand.Rand, c llmtest.Config) {
		windowed(r, c)
		delete(c, "sliding_window_pattern")
		c["query_pre_attn_scalar"], c["attn_logit_softcapping"], c["final_logit_softcapping"] = pick(r, 16.0, 9.0), pick(r, 50.0, 3.0), pick(r, 30.0, 4.0)
		if chance(r, 30) {
			c["attn_logit_softcapping"] = (*float64)(nil)
		}
	},
	"gemma3_text": func(r *rand.Rand, c llmtest.Config) {
		windowed(r, c)
		c["query_pre_attn_scalar"], c["rope_local_base_freq"] = 16, pick(r, 100.0, 10000.0)
	},
	"gemma3n_text": gemma3n,
	"gemma4_text":  gemma4,
	"glm":          func(r *rand.Rand, c llmtest.Config) { c["attention_bias"] = chance(r, 50) },
	"glm4":         func(r *rand.Rand, c llmtest.Config) { c["attention_bias"] = chance(r, 50) },
	"gpt2":         func(r *rand.Rand, c llmtest.Config) { gpt(r, c); c["scale_attn_by_inverse_layer_idx"] = chance(r, 30) },
	"gpt_bigcode":  func(r *rand.Rand, c llmtest.Config) { gpt(r, c); c["multi_query"], c["n_inner"] = chance(r, 50), 96 },
	"gpt_neox": func(r *rand.Rand, c llmtest.Config) {
		c["rotary_pct"], c["use_parallel_residual"], c["layer_norm_eps"] = pick(r, 0.25, 0.5, 1.0), chance(r, 50), 1e-5
	},
	"granite": func(r *rand.Rand, c llmtest.Config) {
		c["embedding_multiplier"], c["attention_multiplier"], c["residual_multiplier"], c["logits_scaling"] = 3.0, 0.2, 0.5, 2.0
	},
	"helium": func(r *rand.Rand, c llmtest.Config) {
		c["attention_bias"], c["mlp_bias"] = chance(r, 50), chance(r, 50)
	},
	"hunyuan_v1_dense": hunyuan,
	"internlm2":        func(r *rand.Rand, c llmtest.Config) { c["bias"] = chance(r, 50); dynamic(r, c) },
	"internlm3": func(r *rand.Rand, c llmtest.Config) {
		c["bias"], c["qkv_bias"] = chance(r, 50), chance(r, 50)
		dynamic(r, c)
	},
	"iquestloopcoder": func(r *rand.Rand, c llmtest.Config) {
		c["loop_num"], c["loop_window_size"], c["attention_bias"], c["mlp_bias"] = 2, 1+r.IntN(20), chance(r, 30), chance(r, 30)
	},
	"llama4_text": func(r *rand.Rand, c llmtest.Config) {
		c["intermediate_size_mlp"], c["use_qk_norm"], c["attention_chunk_size"] = 128, chance(r, 70), pick(r, 8, 13, 8192)
		c["floor_scale"], c["attn_scale"], c["interleave_moe_layer_step"], c["attention_bias"] = pick(r, 8, 20), 0.3, 0, chance(r, 30)
		if chance(r, 50) {
			c["no_rope_layers"] = []int{1, 0, 1, 0, 0}
		}
		if chance(r, 30) {
			c["attn_temperature_tuning"] = false
		}
	},
	"lille-130m": func(r *rand.Rand, c llmtest.Config) {
		gpt(r, c)
		c["n_kv_heads"], c["layer_norm_eps"], c["rope_theta"] = 2, 1e-5, 1e4
	},
	"mimo": func(*rand.Rand, llmtest.Config) {},
	"minicpm": func(r *rand.Rand, c llmtest.Config) {
		c["scale_emb"], c["scale_depth"], c["dim_model_base"] = 4.0, 1.4, 16
	},
	"ministral3": func(r *rand.Rand, c llmtest.Config) {
		c["rope_parameters"] = llmtest.Config{"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 16, "llama_4_scaling_beta": 0.3}
	},
	"nanochat": func(*rand.Rand, llmtest.Config) {},
	"nemotron": func(r *rand.Rand, c llmtest.Config) { biases(r, c); c["norm_eps"] = pick(r, 1e-5, 1e-3) },
	"nemotron-nas": func(r *rand.Rand, c llmtest.Config) {
		var blocks []llmtest.Config
		for i := range c["num_hidden_layers"].(int) {
			attention := pick(r, llmtest.Config{"n_heads_in_group": pick(r, 1, 2, 4)}, llmtest.Config{"no_op": true}, llmtest.Config{"replace_with_linear": true})
			if i == 1 {
				attention = llmtest.Config{"n_heads_in_group": 2, "window_length": nil}
			}
			ffn := pick(r, llmtest.Config{"ffn_mult": pick(r, 0.3, 7.0)}, llmtest.Config{"no_op": true}, llmtest.Config{"replace_with_linear": true})
			blocks = append(blocks, llmtest.Config{"attention": attention, "ffn": ffn})
		}
		c["block_configs"], c["attention_bias"], c["mlp_bias"] = blocks, chance(r, 30), chance(r, 30)
		c["num_key_value_heads"], c["intermediate_size"] = (*int)(nil), (*int)(nil)
	},
	"olmo": func(r *rand.Rand, c llmtest.Config) {
		c["clip_qkv"] = pick[any](r, nil, 1.5)
		if chance(r, 50) {
			c["d_model"], c["n_heads"], c["n_layers"], c["mlp_hidden_size"], c["embedding_size"] = 64, 4, c["num_hidden_layers"], 128, 96
		}
	},
	"olmo2": func(r *rand.Rand, c llmtest.Config) { c["attention_bias"] = chance(r, 50) },
	"olmo3": func(r *rand.Rand, c llmtest.Config) {
		windowed(r, c)
		if chance(r, 60) {
			c["rope_scaling"] = llmtest.Config{"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 32, "beta_fast": 32.0, "beta_slow": 1.0}
		}
	},
	"openelm": func(r *rand.Rand, c llmtest.Config) {
		var queries, keys []int
		var widths []float64
		for range c["num_hidden_layers"].(int) {
			k := pick(r, 2, 4)
			queries, keys, widths = append(queries, k*pick(r, 1, 2)), append(keys, k), append(widths, 0.5+4*r.Float64())
		}
		c["num_transformer_layers"], c["model_dim"], c["ffn_dim_divisor"] = c["num_hidden_layers"], 64, 32
		c["num_query_heads"], c["num_kv_heads"], c["ffn_multipliers"], c["rope_freq_constant"] = queries, keys, widths, 1e4
		c["share_input_output_layers"], c["normalize_qk_projections"], c["ffn_with_glu"] = chance(r, 50), chance(r, 70), chance(r, 70)
	},
	"phi": func(r *rand.Rand, c llmtest.Config) {
		c["layer_norm_eps"], c["qk_layernorm"], c["partial_rotary_factor"] = 1e-5, chance(r, 50), pick(r, 0.5, 0.25)
	},
	"phi3": func(r *rand.Rand, c llmtest.Config) {
		if chance(r, 50) {
			c["sliding_window"] = 9
		}
		if chance(r, 50) {
			c["original_max_position_embeddings"] = 32
			c["rope_scaling"] = llmtest.Config{"type": "longrope", "short_factor": []float64{1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7}, "long_factor": []float64{1, 2, 3, 4, 5, 6, 7, 8}}
		}
	},
	"phi3small": func(r *rand.Rand, c llmtest.Config) {
		c["dense_attention_every_n_layers"], c["ff_intermediate_size"], c["gegelu_limit"], c["layer_norm_epsilon"] = pick(r, 2, 3), 96, pick(r, 20.0, 1.5), 1e-5
		c["rope_embedding_base"], c["rope_position_scale"], c["mup_use_scaling"], c["mup_width_multiplier"] = 1e4, pick(r, 1.0, 0.5), chance(r, 70), 2.0
		c["blocksparse_block_size"], c["blocksparse_num_local_blocks"], c["blocksparse_vert_stride"] = pick(r, 4, 7), pick(r, 1, 2), pick(r, 2, 3)
		c["dummy_token_indices"] = []int{3, 50, 100000}
	},
	"plamo": func(r *rand.Rand, c llmtest.Config) { c["n_shared_head"] = pick(r, 2, 4) },
	"qwen": func(r *rand.Rand, c llmtest.Config) {
		c["kv_channels"], c["layer_norm_epsilon"], c["intermediate_size"] = 16, 1e-6, 128
		c["no_bias"] = chance(r, 50)
	},
	"seed_oss": func(r *rand.Rand, c llmtest.Config) {
		c["attention_bias"], c["attention_out_bias"], c["mlp_bias"] = chance(r, 50), chance(r, 50), chance(r, 50)
	},
	"smollm3": func(r *rand.Rand, c llmtest.Config) {
		if chance(r, 50) {
			c["no_rope_layers"] = []int{1, 0, 1, 0, 0}
		}
		if chance(r, 50) {
			c["use_sliding_window"], c["sliding_window"], c["layer_types"] = true, 7, []string{"full_attention", "sliding_attention", "full_attention", "sliding_attention", "full_attention"}
		}
	},
	"stablelm": func(r *rand.Rand, c llmtest.Config) {
		c["layer_norm_eps"], c["use_qkv_bias"], c["qk_layernorm"], c["use_parallel_residual"] = 1e-5, chance(r, 50), chance(r, 50), chance(r, 50)
	},
	"starcoder2": func(r *rand.Rand, c llmtest.Config) {
		c["norm_epsilon"], c["use_bias"] = 1e-5, chance(r, 50)
		if chance(r, 50) {
			c["sliding_window"] = 9
		}
	},
	"telechat3": func(r *rand.Rand, c llmtest.Config) {
		c["rope_scaling"] = llmtest.Config{"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
	},
}

func gemma4(r *rand.Rand, c llmtest.Config) {
	n := 5 + r.IntN(3)
	var types []string
	for i := range n {
		types = append(types, pick(r, "full_attention", "sliding_attention"))
		if i < 2 { // both before those that share
			types[i] = []string{"full_attention", "sliding_attention"}[i]
		}
	}
	c["num_hidden_layers"], c["num_kv_shared_layers"], c["layer_types"], c["sliding_window"] = n, r.IntN(n-2), types, 1+r.IntN(20)
	c["global_head_dim"], c["attention_k_eq_v"], c["num_global_key_value_heads"] = 32, chance(r, 50), pick[any](r, 1, 4, nil)
	c["vocab_size_per_layer_input"], c["hidden_size_per_layer_input"] = 90, pick[any](r, 32, 0, 64)
	c["use_double_wide_mlp"], c["final_logit_softcapping"], c["attention_bias"] = chance(r, 50), pick[any](r, nil, 30.0), chance(r, 30)
	delete(c, "rope_theta")
	if chance(r, 50) {
		c["rope_parameters"] = llmtest.Config{"sliding_attention": llmtest.Config{"rope_type": "default", "rope_theta": 1e3},
			"full_attention": llmtest.Config{"rope_type": "proportional", "rope_theta": 1e5, "partial_rotary_factor": pick(r, 0.25, 0.5)}}
	}
	if chance(r, 30) {
		own, heads := llmtest.Config{}, pick(r, 1, 2, 4)
		for i, kind := range types {
			if kind == "full_attention" || i == n-1 {
				own[itoa(i)] = llmtest.Config{"head_dim": 64, "num_key_value_heads": heads}
			}
		}
		c["per_layer_config"] = own
	}
}

func gemma3n(r *rand.Rand, c llmtest.Config) {
	n := 5 + r.IntN(3)
	var types []string
	var shares []float64
	var inner []int
	for i := range n {
		types = append(types, pick(r, "full_attention", "sliding_attention"))
		shares, inner = append(shares, pick(r, 0, 0.6, 0.95)), append(inner, pick(r, 64, 96))
		if i < 2 { // both before those that share
			types[i] = []string{"full_attention", "sliding_attention"}[i]
		}
	}
	c["num_hidden_layers"], c["num_kv_shared_layers"], c["layer_types"], c["sliding_window"] = n, r.IntN(n-2), types, 1+r.IntN(20)
	c["activation_sparsity_pattern"], c["intermediate_size"] = shares, inner
	c["vocab_size_per_layer_input"], c["hidden_size_per_layer_input"], c["laurel_rank"] = 90, 32, 32
	c["altup_num_inputs"], c["altup_active_idx"], c["altup_correct_scale"] = pick(r, 3, 4), r.IntN(2), chance(r, 70)
	c["rope_local_base_freq"], c["final_logit_softcapping"] = pick(r, 100.0, 1e4), 30.0
	c["altup_coef_clip"] = pick[any](r, 0.3, (*float64)(nil), 120.0)
}

// bitnet has floats, as they are or rounded to three values when they are used.
func bitnet(r *rand.Rand, c llmtest.Config) {
	c["attention_bias"], c["hidden_act"] = chance(r, 30), "relu2"
	if chance(r, 50) {
		c["quantization_config"] = llmtest.Config{"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online"}
	}
}

func biases(r *rand.Rand, c llmtest.Config) {
	c["attention_bias"], c["mlp_bias"] = chance(r, 50), chance(r, 50)
}

func cohere(r *rand.Rand, c llmtest.Config) {
	c["layer_norm_eps"], c["logit_scale"], c["attention_bias"], c["use_qk_norm"] = 1e-5, 0.25, chance(r, 50), chance(r, 50)
}

func windowed(r *rand.Rand, c llmtest.Config) {
	c["sliding_window"] = 1 + r.IntN(20)
	c["sliding_window_pattern"] = pick(r, 2, 3)
	if chance(r, 40) {
		var types []string
		for range c["num_hidden_layers"].(int) {
			types = append(types, pick(r, "full_attention", "sliding_attention"))
		}
		c["layer_types"] = types
	}
}

func gpt(r *rand.Rand, c llmtest.Config) {
	c["n_embd"], c["n_head"], c["n_layer"], c["n_positions"], c["block_size"] = 64, 4, c["num_hidden_layers"], 512, 512
	c["layer_norm_epsilon"] = pick(r, 1e-5, 1e-3)
}

func hunyuan(r *rand.Rand, c llmtest.Config) {
	c["attention_bias"] = chance(r, 50)
	if chance(r, 70) {
		c["rope_scaling"] = llmtest.Config{"type": "dynamic", "alpha": 100.0, "factor": 1.0}
	}
}

// dynamic is a scaling that the test's lengths reach.
func dynamic(r *rand.Rand, c llmtest.Config) {
	if chance(r, 70) {
		c["max_position_embeddings"] = 32
		c["rope_scaling"] = llmtest.Config{"type": "dynamic", "rope_type": "dynamic", "factor": 4.0}
	}
}

// TestFamiliesAgainstReference: each family with random settings and weights.
func TestFamiliesAgainstReference(t *testing.T) {
	if llmtest.Race {
		t.Skip("slow with the race detector; TestParity runs the same code")
	}
	seeds := 3
	if testing.Short() {
		seeds = 1
	}
	types := []mlx.DType{mlx.Float32, mlx.BFloat16, mlx.Float16}
	for kind, change := range families {
		t.Run(kind, func(t *testing.T) {
			for seed := range seeds {
				r := rand.New(rand.NewPCG(uint64(seed), 46))
				c := llmtest.Tiny(kind).With(llmtest.Config{"num_hidden_layers": pick(r, 3, 5), "tie_word_embeddings": chance(r, 30), "max_position_embeddings": 512})
				change(r, c)
				w := lively(t, r, c, pick(r, types...))
				if seed == 2 {
					c, w = quantized(t, r, c, w, mlx.Scheme{Mode: "affine", Bits: pick(r, 4, 8), GroupSize: 32}, false)
				}
				dir := writeAny(t, r, c, w)
				tolerance := 1e-3
				switch kind {
				case "bitnet":
					tolerance = 1e-1 // an activation of 8 bits may be the next one
				case "gemma3n_text", "gemma4_text":
					tolerance = 3e-3 // scores are as large as heads
				}
				tokens, prompt := randomTokens(r, c, 30+r.IntN(40)), randomTokens(r, c, 5+r.IntN(50))
				against(t, dir, tokens, prompt, 24, tolerance, pick(r, 1, 3), pick(r, 7, 0))
				if t.Failed() {
					t.Fatalf("seed %d: %s", seed, describe(c))
				}
			}
		})
	}
}

// TestGemma3Half: residuals of float16 are cut at its largest number, as in mlx-lm; an
// infinity would make every logit NaN.
func TestGemma3Half(t *testing.T) {
	c := llmtest.Tiny("gemma3_text")
	w := llmtest.Random(t, c, 3, mlx.Float32)
	for i, x := range w {
		by := float32(1)
		switch {
		case x.Name == "model.embed_tokens.weight":
			by = 8000 / 0.05 // times 8
		case strings.Contains(x.Name, "post_"):
			by = 8000
		}
		n := 1
		for _, d := range x.Shape {
			n *= d
		}
		v := make([]float32, n)
		for j, f := range mlx.ToSlice[float32](mlx.FromBytes(x.Data, x.Shape, mlx.Float32)) {
			v[j] = max(-8000, min(8000, f*by))
		}
		w[i] = llmtest.Tensor(x.Name, v, mlx.Float16, x.Shape...)
	}
	m, err := llm.Load(llmtest.Write(t, c, w), llm.LoadOptions{New: models.New})
	if err != nil {
		t.Fatal(err)
	}
	if m.DType != mlx.Float16 {
		t.Fatalf("computes in %v", m.DType)
	}
	logits, err := m.Logits(tokensOf(20)) // NaN is an error
	if err != nil {
		t.Fatal(err)
	}
	if top := mlx.Item[float32](mlx.Max(mlx.Abs(logits))); top == 0 || top > 65504 {
		t.Errorf("the largest logit is %v", top)
	}
}
