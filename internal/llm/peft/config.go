package peft

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
)

// config is what LoraConfig saves, as far as it says what an adapter does.
type config struct {
	Type         string          `json:"peft_type"`
	Task         string          `json:"task_type"`
	Base         string          `json:"base_model_name_or_path"`
	R            int             `json:"r"`
	Alpha        float64         `json:"lora_alpha"`
	Dropout      float64         `json:"lora_dropout"`
	RSLoRA       bool            `json:"use_rslora"`
	DoRA         bool            `json:"use_dora"`
	Bias         string          `json:"bias"`
	LoRABias     bool            `json:"lora_bias"`
	TiesHead     bool            `json:"ensure_weight_tying"`
	Init         any             `json:"init_lora_weights"`
	Targets      words           `json:"target_modules"`
	Excluded     words           `json:"exclude_modules"`
	Saved        words           `json:"modules_to_save"`
	Layers       numbers         `json:"layers_to_transform"`
	LayerPattern words           `json:"layers_pattern"`
	Ranks        patterns        `json:"rank_pattern"`
	Alphas       patterns        `json:"alpha_pattern"`
	FanInFanOut  json.RawMessage `json:"fan_in_fan_out"` // of W: A and B lie the same way

	notes []string
}

// harmless are keys that change nothing of a trained adapter.
var harmless = []string{"auto_mapping", "peft_version", "revision", "inference_mode", "megatron_core", "qalora_group_size", "eva_config",
	"corda_config", "lora_ga_config", "loftq_config", "runtime_config"}

// refused are keys that make another kind of layer when they are set, and what they do.
var refused = map[string]string{
	"layer_replication":       "repeats layers of the base",
	"trainable_token_indices": "trains single rows of the embedding",
	"target_parameters":       "adapts parameters that are no layers, as those of experts",
	"alora_invocation_tokens": "adapts only tokens after an invocation",
	"arrow_config":            "routes between adapters",
	"megatron_config":         "adapts Megatron's parallel layers",
	"use_qalora":              "pools the inputs of the adapter",
	"use_bdlora":              "makes the matrices block-diagonal",
	"kasa_config":             "changes the base by its singular values",
	"monteclora_config":       "makes the matrices random",
}

// inits are ways to begin that leave the base as it is.
var inits = []string{"gaussian", "eva", "orthogonal", "true", "false"}

// words is a string, which is a regular expression of a whole name, or a list of names.
type words struct {
	pattern string
	list    []string
	set     bool
}

func (w *words) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" {
		return nil
	}
	w.set = true
	if len(raw) > 0 && raw[0] == '"' {
		return json.Unmarshal(raw, &w.pattern)
	}
	return json.Unmarshal(raw, &w.list)
}

// names are those of the list, or the only one.
func (w words) names() []string {
	if w.pattern != "" {
		return []string{w.pattern}
	}
	return w.list
}

// numbers is a number or a list of them.
type numbers []int

func (n *numbers) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] != '[' && string(raw) != "null" {
		*n = numbers{0}
		return json.Unmarshal(raw, &(*n)[0])
	}
	return json.Unmarshal(raw, (*[]int)(n))
}

// patterns are regular expressions of names' ends and numbers, in the file's order: the
// first that matches counts.
type patterns []struct {
	key   string
	match *regexp.Regexp
	value float64
}

func (p *patterns) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" {
		return nil
	}
	var values map[string]float64
	if err := json.Unmarshal(raw, &values); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	for depth := 0; ; { // keys in order
		t, err := d.Token()
		if err != nil {
			break
		}
		if t == json.Delim('{') {
			depth++
		}
		key, ok := t.(string)
		if !ok || depth != 1 {
			continue
		}
		match, err := regexp.Compile(`^(?:.*\.)?(?:` + key + `)$`)
		if err != nil {
			return fmt.Errorf("the pattern %q is not supported: %w", key, err)
		}
		*p = append(*p, struct {
			key   string
			match *regexp.Regexp
			value float64
		}{key, match, values[key]})
	}
	return nil
}

// of is the number of a module.
func (p patterns) of(module string, otherwise float64) float64 {
	for _, x := range p {
		if x.match.MatchString(module) {
			return x.value
		}
	}
	return otherwise
}

func readConfig(path string) (*config, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	c, err := parseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Is reports whether a configuration is of PEFT.
func Is(raw []byte) bool {
	var c struct {
		Type any `json:"peft_type"`
	}
	return json.Unmarshal(raw, &c) == nil && c.Type != nil
}

// parseConfig reads a configuration and refuses what is not LoRA or DoRA of layers.
func parseConfig(raw []byte) (*config, error) {
	var c config
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, plainError(err)
	}
	if c.Type != "LORA" {
		return nil, fmt.Errorf("peft_type is %q: only LORA is supported; merge the adapter into its base with PEFT", c.Type)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	if err := checkKeys(all); err != nil {
		return nil, err
	}
	if init := fmt.Sprint(c.Init); c.Init != nil && !slices.Contains(inits, init) {
		return nil, fmt.Errorf("init_lora_weights is %q, which changes the base too: save the adapter with path_initial_model_for_weight_conversion", init)
	}
	if c.Dropout < 0 || c.Dropout >= 1 {
		return nil, fmt.Errorf("lora_dropout is %v: it must be from 0 to below 1", c.Dropout)
	}
	return &c, errors.Join(c.checkTask(), c.checkNumbers(), c.checkTargets())
}

// plainError says of a value of the wrong type which key has it, without Go's types.
func plainError(err error) error {
	var e *json.UnmarshalTypeError
	if !errors.As(err, &e) || e.Field == "" {
		return err
	}
	return fmt.Errorf("%s is a %s, which it cannot be", e.Field, e.Value)
}

// checkKeys refuses keys that are set and have a meaning that is not held here.
func checkKeys(all map[string]json.RawMessage) error {
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if inactive(all[key]) || slices.Contains(harmless, key) || slices.Contains(read, key) {
			continue
		}
		if what := refused[key]; what != "" {
			return fmt.Errorf("%s is set, which %s: not supported; merge the adapter into its base with PEFT", key, what)
		}
		return fmt.Errorf("%s is set and not known here; remove it if the adapter is the same without it", key)
	}
	return nil
}

// read are the keys of config.
var read = []string{"peft_type", "task_type", "base_model_name_or_path", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "bias",
	"lora_bias", "ensure_weight_tying", "init_lora_weights", "target_modules", "exclude_modules", "modules_to_save", "layers_to_transform",
	"layers_pattern", "rank_pattern", "alpha_pattern", "fan_in_fan_out"}

// inactive reports whether a value is what PEFT writes where nothing was asked for.
func inactive(raw json.RawMessage) bool {
	switch strings.Join(strings.Fields(string(raw)), "") {
	case "null", "false", "[]", "{}", `""`:
		return true
	}
	return false
}

func (c *config) checkTask() error {
	if c.Task != "" && c.Task != "CAUSAL_LM" {
		return fmt.Errorf("task_type is %s: only CAUSAL_LM runs here", c.Task)
	}
	if c.LoRABias {
		return errors.New("lora_bias is true: a bias of an adapter has no place in mlx-lm's format; merge the adapter with PEFT")
	}
	if !slices.Contains([]string{"", "none", "all", "lora_only"}, c.Bias) {
		return fmt.Errorf("bias is %q: none, all and lora_only are known", c.Bias)
	}
	return nil
}

func (c *config) checkNumbers() error {
	if c.R < 1 {
		return fmt.Errorf("r is %d: it must be above 0", c.R)
	}
	for _, p := range c.Ranks {
		if p.value < 1 || p.value != math.Trunc(p.value) || p.value > 1<<30 {
			return fmt.Errorf("rank_pattern: %q is %v: a rank is a whole number above 0", p.key, p.value)
		}
	}
	return nil
}

// checkTargets compiles the patterns of modules. What Go's expressions have not, as
// lookaheads, cannot be checked; tensors say what was trained all the same.
func (c *config) checkTargets() error {
	if c.Targets.pattern != "" && len(c.Layers) > 0 {
		return errors.New("layers_to_transform is set and target_modules is one expression: PEFT takes a list with it")
	}
	for key, w := range map[string]*words{"target_modules": &c.Targets, "exclude_modules": &c.Excluded} {
		if w.pattern == "" || w.pattern == allLinear {
			continue
		}
		if _, err := regexp.Compile(w.pattern); err != nil {
			c.notes = append(c.notes, fmt.Sprintf("%s is an expression that is not checked here: %v", key, err))
			*w = words{}
		}
	}
	for _, p := range c.LayerPattern.names() {
		if _, err := regexp.Compile(p); err != nil {
			return fmt.Errorf("layers_pattern: %w", err)
		}
	}
	return nil
}

// scale is PEFT's factor of B A.
func (c *config) scale(rank int, alpha float64) float64 {
	if c.RSLoRA {
		return alpha / math.Sqrt(float64(rank))
	}
	return alpha / float64(rank)
}

// of is the rank and alpha of a module that has tensors; one that PEFT would not adapt is
// an error.
func (c *config) of(module string, embedding bool) (rank int, alpha float64, err error) {
	if !c.adapts(module, embedding) {
		return 0, 0, fmt.Errorf("it has tensors, but by target_modules, exclude_modules and layers_to_transform PEFT leaves it as it is")
	}
	return int(c.Ranks.of(module, float64(c.R))), c.Alphas.of(module, c.Alpha), nil
}

// allLinear stands for all linear layers but the head.
const allLinear = "all-linear"

// adapts is PEFT's check_target_module_exists.
func (c *config) adapts(module string, embedding bool) bool {
	if c.Excluded.matches(module) {
		return false
	}
	t := c.Targets
	switch {
	case !t.set: // what the architecture has by default
		return true
	case t.pattern == allLinear:
		return !embedding
	case t.pattern != "" || slices.Contains(t.list, module):
		return t.matches(module)
	case !t.matches(module):
		return false
	case len(c.Layers) == 0:
		return true
	}
	list := []string{`[^.]*`}
	if names := c.LayerPattern.names(); len(names) > 0 {
		list = names
	}
	for _, p := range list {
		if m := regexp.MustCompile(`^.*\.(?:` + p + `)\.(\d+)\.`).FindStringSubmatch(module); m != nil {
			return slices.ContainsFunc(c.Layers, func(n int) bool { return fmt.Sprint(n) == m[len(m)-1] })
		}
	}
	return false
}

// matches reports whether the expression is the whole name, or a name of the list its end.
func (w words) matches(module string) bool {
	if w.pattern != "" {
		return regexp.MustCompile(`^(?:` + w.pattern + `)$`).MatchString(module)
	}
	return slices.ContainsFunc(w.list, func(name string) bool { return module == name || strings.HasSuffix(module, "."+name) })
}

// checkWhole refuses whole parameters that the configuration does not speak of, and ones
// that it speaks of and that are missing.
func (c *config) checkWhole(a *Adapter) error {
	found := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(a.Whole)) {
		at := strings.LastIndexByte(name, '.')
		module, kind := name[:at], name[at+1:]
		known := kind == "bias" && c.Bias != "" && c.Bias != "none"
		last := module[strings.LastIndexByte(module, '.')+1:]
		if last == "embed_tokens" || last == "lm_head" { // save_embedding_layers
			known = true
		}
		for _, saved := range c.Saved.names() {
			if (words{list: []string{saved}}).matches(module) {
				found[saved], known = true, true
			}
		}
		if !known {
			return fmt.Errorf("tensor %s is whole, but neither modules_to_save nor bias of %s speaks of it", name, ConfigFile)
		}
	}
	for _, saved := range c.Saved.names() {
		if !found[saved] {
			return fmt.Errorf("modules_to_save of %s has %q, and there is no tensor of it", ConfigFile, saved)
		}
	}
	return nil
}
