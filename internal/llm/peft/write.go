package peft

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/atomicfile"
)

// Write writes a into the directory dir, as PEFT's save_pretrained does: all layers with
// a.Rank and a.Scale, matrices turned, dtypes kept. FanInFanOut says that the base's own
// matrices are [in, out], as GPT-2's.
func Write(dir string, a *Adapter, fanInFanOut bool) error {
	tensors := map[string]*mlx.Array{}
	ties := false
	for module, l := range a.Layers {
		x, y := linearA, linearB
		if l.Embedding {
			x, y, ties = embeddingA, embeddingB, true
		}
		tensors[tensorName{module: module, part: x}.String()] = mlx.Contiguous(l.A.T(), false)
		tensors[tensorName{module: module, part: y}.String()] = mlx.Contiguous(l.B.T(), false)
		if l.M != nil {
			tensors[tensorName{module: module, part: magnitude}.String()] = l.M
		}
	}
	saved := map[string]bool{}
	for name, t := range a.Whole {
		module := name[:strings.LastIndexByte(name, '.')]
		if _, ok := a.Layers[module]; ok {
			return fmt.Errorf("%s has an adapter and a whole parameter (%s), which PEFT does not save together", module, name)
		}
		saved[module] = true
		tensors[tensorName{module: name}.String()] = t
	}
	c := map[string]any{
		"peft_type": "LORA", "task_type": "CAUSAL_LM", "auto_mapping": nil, "base_model_name_or_path": nil, "revision": nil, "inference_mode": true,
		"r": a.Rank, "lora_alpha": alphaOf(a.Scale, a.Rank), "lora_dropout": a.Dropout, "use_rslora": false, "use_dora": a.DoRA, "bias": "none",
		"fan_in_fan_out": fanInFanOut, "init_lora_weights": true, "rank_pattern": map[string]any{}, "alpha_pattern": map[string]any{},
		"layers_pattern": nil, "loftq_config": map[string]any{}, "megatron_config": nil, "megatron_core": "megatron.core", "modules_to_save": nil,
	}
	if a.Base != "" {
		c["base_model_name_or_path"] = a.Base
	}
	if ties && a.TiesHead {
		c["ensure_weight_tying"] = true // newer than the other keys: only where it says something
	}
	if len(saved) > 0 {
		c["modules_to_save"] = slices.Sorted(maps.Keys(saved))
	}
	targets, layers := targetsOf(slices.Sorted(maps.Keys(a.Layers)))
	c["target_modules"], c["layers_to_transform"] = targets, nil
	if layers != nil {
		c["layers_to_transform"] = layers
	}
	if err := atomicfile.WriteJSON(filepath.Join(dir, ConfigFile), "  ", c); err != nil {
		return err
	}
	return mlx.SaveSafetensors(filepath.Join(dir, WeightsFile), tensors, map[string]string{"format": "pt"})
}

// alphaOf is the lora_alpha whose quotient by the rank is the scale to the last bit, where
// there is one; whole numbers are written as such.
func alphaOf(scale float64, rank int) any {
	r := float64(rank)
	alpha := scale * r
	for _, x := range []float64{math.Nextafter(alpha, math.Inf(-1)), math.Nextafter(alpha, math.Inf(1))} {
		if alpha/r != scale && x/r == scale {
			alpha = x
		}
	}
	if alpha == math.Trunc(alpha) && math.Abs(alpha) < 1<<53 {
		return int64(alpha)
	}
	return alpha
}

// SplitBlock takes the path of a layer of a block apart: model.layers.3.mlp.up_proj is 3
// and mlp.up_proj. Index is -1 for a layer outside of blocks.
func SplitBlock(path string) (index int, inside string) {
	words := strings.Split(path, ".")
	for i := 1; i < len(words)-1; i++ {
		if n, err := strconv.Atoi(words[i]); err == nil && n >= 0 && strconv.Itoa(n) == words[i] {
			return n, strings.Join(words[i+1:], ".")
		}
	}
	return -1, ""
}

// targetsOf says in PEFT's words which modules are adapted, exactly these: names inside a
// block and the blocks' numbers where each block has all of them, else whole paths.
func targetsOf(modules []string) (targets []string, layers []int) {
	names, blocks := map[string]bool{}, map[int]bool{}
	for _, m := range modules {
		index, inside := SplitBlock(m)
		names[inside], blocks[index] = true, true
		// PEFT's number is the last one of a path.
		if at, _ := SplitBlock(inside); index < 0 || at >= 0 || strings.Count(m[:strings.Index(m+".", "."+strconv.Itoa(index)+".")], ".") == 0 {
			return modules, nil
		}
	}
	if len(modules) == 0 || len(names)*len(blocks) != len(modules) {
		return modules, nil
	}
	return slices.Sorted(maps.Keys(names)), slices.Sorted(maps.Keys(blocks))
}
