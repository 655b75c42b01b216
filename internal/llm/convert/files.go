package convert

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
)

// file is a small file of the result.
type file struct {
	name string
	data []byte
}

const (
	cardFile     = "README.md"
	configFile   = "config.json"
	templateFile = "chat_template.jinja"
	// maxSmall bounds the files that are copied whole.
	maxSmall = 1 << 30
)

// copied are the files that a result has as the source has them: what tokenizers are made
// of, and generation_config.json.
var copied = []string{"added_tokens.json", "chat_template.json", templateFile, "generation_config.json", "merges.txt", "special_tokens_map.json",
	"spiece.model", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt"}

// copiedTypes are the ends of names of files at a directory's top that are copied too.
var copiedTypes = []string{".py", ".tiktoken"}

// makeFiles makes the small files; config.json comes last, so that nothing without its
// weights looks like a model.
func (p *plan) makeFiles(c *config) error {
	names := slices.Clone(copied)
	if p.o.Dir != "" {
		entries, err := os.ReadDir(p.o.Dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if slices.Contains(copiedTypes, filepath.Ext(e.Name())) && !e.IsDir() {
				names = append(names, e.Name())
			}
		}
	}
	for _, name := range names {
		data, err := p.read(name)
		if err != nil {
			return err
		}
		if data != nil {
			p.files = append(p.files, file{name, data})
		}
	}
	if err := p.addTemplate(); err != nil {
		return err
	}
	card, err := p.card()
	if err != nil {
		return err
	}
	p.files = append(p.files, file{cardFile, card}, file{safetensors.IndexName, p.index()}, file{configFile, c.text()})
	return nil
}

// read is a small file of the source, nil if it has none of that name.
func (p *plan) read(name string) ([]byte, error) {
	data, err := p.src.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("model %s: %s: %w", p.src.Name, name, err)
	}
	if len(data) > maxSmall {
		return nil, fmt.Errorf("model %s: %s has %d bytes: that is no file of a tokenizer", p.src.Name, name, len(data))
	}
	if data == nil {
		data = []byte{} // empty is not missing
	}
	return data, nil
}

// addTemplate gives a chat template a file of its own, as transformers writes it, and
// says in tokenizer_config.json how its tool calls are written.
func (p *plan) addTemplate() error {
	at := slices.IndexFunc(p.files, func(f file) bool { return f.name == llm.TokenizerConfigFile })
	own := slices.IndexFunc(p.files, func(f file) bool { return f.name == templateFile })
	var tokenizer *object
	template := ""
	if at >= 0 {
		var err error
		if tokenizer, err = parseObject(p.files[at].data); err != nil {
			return fmt.Errorf("model %s: %s: %w", p.src.Name, llm.TokenizerConfigFile, err)
		}
		template, _ = tokenizer.get("chat_template").(string)
	}
	if own >= 0 {
		template = string(p.files[own].data)
	} else if template != "" {
		p.files = append(p.files, file{templateFile, []byte(template)})
	}
	if parser := toolParser(template); tokenizer != nil && parser != "" && tokenizer.get("tool_parser_type") == nil {
		tokenizer.set("tool_parser_type", parser)
		p.files[at].data = append(pythonJSON(tokenizer), '\n')
	}
	return nil
}

// toolParsers are how models write tool calls, by what their chat templates have of it;
// the first that fits is meant. The names are mlx-lm's.
var toolParsers = []struct {
	name  string
	parts []string
}{
	{"minimax_m2", []string{"<minimax:tool_call>"}},
	{"gemma4", []string{"<|tool_call>", "<tool_call|>"}},
	{"function_gemma", []string{"<start_function_call>"}},
	{"longcat", []string{"<longcat_tool_call>"}},
	{"glm47", []string{"<arg_key>"}},
	{"pythonic", []string{"<|tool_list_start|>"}},
	{"qwen3_coder", []string{"<tool_call>\\n<function="}},
	{"qwen3_coder", []string{"<tool_call>\n<function="}},
	{"kimi_k2", []string{"<|tool_calls_section_begin|>"}},
	{"mistral", []string{"[TOOL_CALLS]"}},
	{"json_tools", []string{"<tool_call>", "tool_call.name"}},
}

// toolParser is the parser that a chat template calls for, "" for none.
func toolParser(template string) string {
	for _, p := range toolParsers {
		if !slices.ContainsFunc(p.parts, func(part string) bool { return !strings.Contains(template, part) }) {
			return p.name
		}
	}
	return ""
}

// index is the file that says which shard has a tensor.
func (p *plan) index() []byte {
	where := map[string]string{}
	var names []string
	for _, s := range p.shards {
		for _, t := range s.tensors {
			where[t.Name] = s.name
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	weights := newObject()
	for _, name := range names {
		weights.set(name, where[name])
	}
	sizes := newObject().set("total_size", p.bytes).set("total_parameters", p.params)
	return pythonJSON(newObject().set("metadata", sizes).set("weight_map", weights))
}

// card is the model card: what the source's says of itself, and that this is a model of
// MLX. There is no text.
func (p *plan) card() ([]byte, error) {
	old, err := p.read(cardFile)
	if err != nil {
		return nil, err
	}
	top := frontMatter(old)
	if top == nil {
		top = &yaml.Node{Kind: yaml.MappingNode}
		if p.o.Repo == "" {
			setYAML(top, "language", scalar("en"))
		}
	}
	setYAML(top, "library_name", scalar("mlx"))
	setYAML(top, "pipeline_tag", scalar("text-generation"))
	tags := getYAML(top, "tags")
	if tags == nil || tags.Kind != yaml.SequenceNode {
		tags = &yaml.Node{Kind: yaml.SequenceNode}
		setYAML(top, "tags", tags)
	}
	if !slices.ContainsFunc(tags.Content, func(n *yaml.Node) bool { return n.Value == "mlx" }) {
		tags.Content = append(tags.Content, scalar("mlx"))
	}
	if p.o.Repo != "" {
		setYAML(top, "base_model", scalar(p.o.Repo))
	}
	var out bytes.Buffer
	out.WriteString("---\n")
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(top), e.Close()); err != nil {
		return nil, fmt.Errorf("model %s: %s: %w", p.src.Name, cardFile, err)
	}
	out.WriteString("---\n")
	return out.Bytes(), nil
}

// frontMatter is the YAML map at the beginning of a model card, nil if there is none that
// can be read: cards are written by hand.
func frontMatter(text []byte) *yaml.Node {
	rest, ok := bytes.CutPrefix(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("---\n"))
	if !ok {
		return nil
	}
	head, _, ok := bytes.Cut(append([]byte("\n"), rest...), []byte("\n---"))
	var doc yaml.Node
	if !ok || yaml.Unmarshal(head, &doc) != nil || len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return nil
	}
	return doc.Content[0]
}

func scalar(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }

func getYAML(m *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}

func setYAML(m *yaml.Node, key string, v *yaml.Node) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			m.Content[i+1] = v
			return
		}
	}
	m.Content = append(m.Content, scalar(key), v)
}
