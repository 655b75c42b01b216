package foreign

import "encoding/json"

// Patterns that cut a text before byte-level BPE, as in the tokenizer.json of the models
// that they come from.
const (
	patternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternGPT2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternTekken = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternGPT4o  = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternThree  = `[0-9][0-9][0-9]`
)

// GGUFPre is a way to cut texts that tokenizer.ggml.pre names.
type GGUFPre struct {
	names    []string // in llama.cpp; the first is written
	patterns []string // cut at each in turn, before BPE
	digits   bool     // before all else, each digit by itself
	whole    bool     // a piece that is a token is not merged (ignore_merges)
	bos      bool     // add_bos_token, where the file does not say
	nfc      bool     // the models' own tokenizers compose characters first
}

// ggufPres are the ways of llama.cpp's llama-vocab.cpp whose patterns are known here.
var ggufPres = []GGUFPre{
	{names: []string{"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"}, patterns: []string{patternLlama3}, whole: true, bos: true},
	{names: []string{"smaug-bpe", "dbrx", "chatglm-bpe", "glm4"}, patterns: []string{patternLlama3}},
	{names: []string{"qwen2", "deepseek-r1-qwen", "megrez"}, patterns: []string{patternQwen2}, nfc: true},
	{names: []string{"stablelm2", "hunyuan", "solar-open"}, patterns: []string{patternQwen2}},
	{names: []string{"gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum", "mpt", "olmo", "jais", "exaone4"}, patterns: []string{patternGPT2}},
	{names: []string{"starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b"}, patterns: []string{patternGPT2}, digits: true},
	{names: []string{"falcon"}, patterns: []string{"[\\p{P}\\$\\+<=>\\^~\\|`]+", patternGPT2, patternThree}},
	{names: []string{"tekken"}, patterns: []string{patternTekken}, whole: true, bos: true},
	{names: []string{"gpt-4o", "llama4", "kanana2"}, patterns: []string{patternGPT4o}},
	{names: []string{"deepseek-v3", "hunyuan-dense"}, patterns: []string{`\p{N}{1,3}`, `[一-龥぀-ゟ゠-ヿ]+`,
		"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"}},
	{names: []string{"deepseek-coder"}, patterns: []string{"[\r\n]", `\s?\p{L}+`, `\s?\p{P}+`, `[一-龥ࠀ-一가-퟿]+`, `\p{N}`}},
	{names: []string{"default"}, patterns: []string{`[\p{P}\$\+<=>\^~\|]+`, patternGPT2, `\p{N}+`, patternThree}},
}

func ggufPreOf(name string) (*GGUFPre, bool) {
	for i := range ggufPres {
		for _, n := range ggufPres[i].names {
			if n == name {
				return &ggufPres[i], true
			}
		}
	}
	return nil, false
}

// preTokenizer is the section of tokenizer.json.
func (p *GGUFPre) preTokenizer() map[string]any {
	var list []any
	if p.digits {
		list = append(list, map[string]any{"type": "Digits", "individual_digits": true})
	}
	for _, pattern := range p.patterns {
		list = append(list, map[string]any{"type": "Split", "pattern": map[string]any{"Regex": pattern}, "behavior": "Isolated", "invert": false})
	}
	list = append(list, map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false})
	return map[string]any{"type": "Sequence", "pretokenizers": list}
}

// GGUFPreName is the value of tokenizer.ggml.pre for the pre_tokenizer section of a
// byte-level tokenizer.json, and for its ignore_merges; false if llama.cpp has no way,
// known here, that cuts texts so.
func GGUFPreName(section json.RawMessage, ignoreMerges bool) (string, bool) {
	type part struct {
		Type       string `json:"type"`
		List       []part `json:"pretokenizers"`
		Prefix     bool   `json:"add_prefix_space"`
		UseRegex   *bool  `json:"use_regex"`
		Individual bool   `json:"individual_digits"`
		Behavior   string `json:"behavior"`
		Invert     bool   `json:"invert"`
		Pattern    struct {
			Regex *string `json:"Regex"`
		} `json:"pattern"`
	}
	var p part
	if json.Unmarshal(section, &p) != nil {
		return "", false
	}
	list := p.List
	if p.Type != "Sequence" {
		list = []part{p}
	}
	var have GGUFPre
	for i, p := range list {
		switch {
		case p.Type == "Digits" && p.Individual && i == 0:
			have.digits = true
		case p.Type == "Split" && p.Pattern.Regex != nil && p.Behavior == "Isolated" && !p.Invert:
			have.patterns = append(have.patterns, *p.Pattern.Regex)
		case p.Type == "Split" && p.Pattern.Regex != nil && p.Behavior == "Removed" && p.Invert: // the pattern matches everything
			have.patterns = append(have.patterns, *p.Pattern.Regex)
		case p.Type == "ByteLevel" && i == len(list)-1 && !p.Prefix:
			if p.UseRegex == nil || *p.UseRegex {
				have.patterns = append(have.patterns, patternGPT2)
			}
		default:
			return "", false
		}
	}
	for _, known := range ggufPres {
		same := len(have.patterns) == len(known.patterns) && have.digits == known.digits && ignoreMerges == known.whole
		for i := range known.patterns {
			same = same && have.patterns[i] == known.patterns[i]
		}
		if same {
			return known.names[0], true
		}
	}
	return "", false
}
