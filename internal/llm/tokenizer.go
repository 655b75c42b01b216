package llm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/mlxgo/mlx/internal/hf/template"
	"github.com/mlxgo/mlx/internal/hf/tokenizer"
)

// The files of a model directory that say how text becomes tokens. Of these only
// TokenizerFile is needed.
const (
	TokenizerFile        = "tokenizer.json"
	TokenizerConfigFile  = "tokenizer_config.json"
	ConfigFile           = "config.json"
	GenerationConfigFile = "generation_config.json"

	templateFile     = "chat_template.jinja"
	templateJSONFile = "chat_template.json"
)

// Tokenizer turns text into token ids and back: tokenizer.json with what
// tokenizer_config.json and the chat template add. It does not change and may be
// used by many goroutines at once.
type Tokenizer struct {
	core *tokenizer.Tokenizer
	chat *ChatTemplate
}

// LoadTokenizer reads the tokenizer of the model in dir, a directory or a GGUF file. It
// needs tokenizer.json only. Errors name the file.
func LoadTokenizer(dir string) (*Tokenizer, error) {
	files, err := readTokenizerFiles(dir)
	if err != nil {
		return nil, err
	}
	if files[TokenizerFile] == nil {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() && !IsGGUF(dir) {
			return nil, fmt.Errorf("%s is not a directory", dir)
		}
		return nil, fmt.Errorf("%s has no %s", dir, TokenizerFile)
	}
	t, err := ParseTokenizer(files)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return t, nil
}

// readTokenizerFiles reads what dir has of tokenizer and chat template.
func readTokenizerFiles(dir string) (map[string][]byte, error) {
	if IsGGUF(dir) {
		return readGGUFTokenizer(dir)
	}
	files := make(map[string][]byte)
	for _, name := range []string{TokenizerFile, TokenizerConfigFile, templateFile, templateJSONFile} {
		data, err := readOptional(dir, name)
		if err != nil {
			return nil, err
		}
		if data != nil {
			files[name] = data
		}
	}
	return files, nil
}

// readOptional reads a file of dir; it is nil without error if there is none.
func readOptional(dir, name string) ([]byte, error) {
	data, err := readRegular(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if data == nil {
		data = []byte{}
	}
	return data, nil
}

// readRegular is os.ReadFile of regular files only: opening a pipe would wait.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	return os.ReadFile(path)
}

// ParseTokenizer makes a Tokenizer of the contents of a model's files by their
// names: tokenizer.json, and tokenizer_config.json, chat_template.jinja and
// chat_template.json where the model has them. Others are not looked at. Errors
// name the file.
func ParseTokenizer(files map[string][]byte) (*Tokenizer, error) {
	if files[TokenizerFile] == nil {
		return nil, fmt.Errorf("there is no %s", TokenizerFile)
	}
	core, err := tokenizer.Parse(files[TokenizerFile])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", TokenizerFile, err)
	}
	t := &Tokenizer{core: core}
	if t.chat, err = ParseChatTemplate(files); err != nil {
		return nil, err
	}
	t.chat.thinks = t.thinks()
	return t, nil
}

// Encode returns the ids of text. Special tokens that the text spells are found
// always; addSpecial adds those that tokenizer.json puts around a text.
func (t *Tokenizer) Encode(text string, addSpecial bool) []int {
	return t.core.Encode(text, addSpecial)
}

// Decode returns the text of ids; skipSpecial leaves out special tokens.
func (t *Tokenizer) Decode(ids []int, skipSpecial bool) string {
	return t.core.Decode(ids, skipSpecial)
}

// Detokenizer starts a stream of ids that become text as they come. What it
// returns is Decode(ids, false) in pieces of whole characters.
func (t *Tokenizer) Detokenizer() *tokenizer.Detokenizer {
	return tokenizer.NewDetokenizer(t.core, false)
}

// VocabSize returns the number of tokens, added ones included. A model may have
// more or fewer rows.
func (t *Tokenizer) VocabSize() int { return t.core.VocabSize() }

// TokenID returns the id of a token by its text as tokenizer.json writes it.
func (t *Tokenizer) TokenID(token string) (int, bool) { return t.core.TokenID(token) }

// Token returns the text of a token as tokenizer.json writes it.
func (t *Tokenizer) Token(id int) (string, bool) { return t.core.Token(id) }

// HasChatTemplate reports whether the model comes with a chat template.
func (t *Tokenizer) HasChatTemplate() bool { return len(t.chat.set.Names()) > 0 }

// ChatTemplate is the model's chat template, which may be none.
func (t *Tokenizer) ChatTemplate() *ChatTemplate { return t.chat }

// BOS is the text of the token that begins a text, "" if the model has none.
func (t *Tokenizer) BOS() string { return t.specialToken("bos_token") }

// EOS is the eos_token of tokenizer_config.json, "" if it has none. What ends a
// generation is [ParseEOS].
func (t *Tokenizer) EOS() string { return t.specialToken("eos_token") }

func (t *Tokenizer) specialToken(key string) string {
	v, _ := t.chat.special.Get(key)
	s, _ := v.(string)
	return s
}

// ParseEOS returns the ids that end a generation, and the file that says so, of a
// model's files by their names: the eos_token_id of generation_config.json, a number or
// a list, else that of config.json, else the eos_token of tokenizer_config.json. null
// and [] count as absent. Without any of them ids and from are empty.
func ParseEOS(files map[string][]byte) (ids []int, from string, err error) {
	for _, name := range []string{GenerationConfigFile, ConfigFile} {
		v, err := readKeys(files, name, "eos_token_id")
		if err != nil {
			return nil, "", err
		}
		if v == nil && name == ConfigFile { // models of text and images
			if v, err = readKeys(files, name, "text_config", "eos_token_id"); err != nil {
				return nil, "", err
			}
		}
		ids, err := idList(v)
		if err != nil {
			return nil, "", fmt.Errorf("%s: eos_token_id %w", name, err)
		}
		if len(ids) > 0 {
			return ids, name, nil
		}
	}
	return eosToken(files)
}

// eosToken is the id of tokenizer_config.json's eos_token.
func eosToken(files map[string][]byte) ([]int, string, error) {
	v, err := readKeys(files, TokenizerConfigFile, "eos_token")
	if err != nil || v == nil {
		return nil, "", err
	}
	if d, ok := v.(*template.Dict); ok {
		v, _ = d.Get("content")
	}
	token, ok := v.(string)
	if !ok {
		return nil, "", fmt.Errorf("%s: eos_token must be a string or an object with content", TokenizerConfigFile)
	}
	if files[TokenizerFile] == nil { // ids only: there is no text to look up
		return nil, "", nil
	}
	core, err := tokenizer.Parse(files[TokenizerFile])
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", TokenizerFile, err)
	}
	id, ok := core.TokenID(token)
	if !ok {
		return nil, "", fmt.Errorf("%s: eos_token %q is not a token of %s", TokenizerConfigFile, token, TokenizerFile)
	}
	return []int{id}, TokenizerConfigFile, nil
}

// readKeys follows keys through the objects of a JSON file; nil if the file or a
// key is absent.
func readKeys(files map[string][]byte, name string, keys ...string) (template.Value, error) {
	if files[name] == nil {
		return nil, nil
	}
	v, err := template.DecodeJSON(files[name])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if _, ok := v.(*template.Dict); !ok {
		return nil, fmt.Errorf("%s: must hold a JSON object", name)
	}
	for _, key := range keys {
		d, ok := v.(*template.Dict)
		if !ok {
			return nil, nil
		}
		v, _ = d.Get(key)
	}
	return v, nil
}

// idList reads a token id or a list of them.
func idList(v template.Value) ([]int, error) {
	var items []template.Value
	switch v := v.(type) {
	case nil:
		return nil, nil
	case *template.List:
		items = v.Items
	default:
		items = []template.Value{v}
	}
	ids := make([]int, 0, len(items))
	for _, item := range items {
		if f, whole := item.(float64); whole && f == float64(int32(f)) { // 2.0
			item = int64(f)
		}
		id, ok := item.(int64)
		if !ok || id < 0 || id > 1<<31-1 {
			return nil, errors.New("must be a token id or a list of token ids")
		}
		if !slices.Contains(ids, int(id)) {
			ids = append(ids, int(id))
		}
	}
	return ids, nil
}

// EOSSet returns the ids that end a generation: base, what the model's files say,
// and the extra ones, each the id or the text of a token. vocab is the number of
// the model's tokens; an id outside it is an error that names from, the file of
// base. t may be nil if extra has ids only.
func EOSSet(base []int, from string, extra []string, vocab int, t *Tokenizer) ([]int, error) {
	set := make([]int, 0, len(base)+len(extra))
	for _, id := range base {
		if id < 0 || id >= vocab {
			return nil, fmt.Errorf("%s: the EOS token %d is outside the vocabulary of %d tokens", from, id, vocab)
		}
		set = append(set, id)
	}
	for _, token := range extra {
		id, err := strconv.Atoi(token)
		if err != nil {
			if t == nil {
				return nil, fmt.Errorf("the extra EOS token %q is no id, and there is no %s to look it up in", token, TokenizerFile)
			}
			var ok bool
			if id, ok = t.TokenID(token); !ok {
				return nil, fmt.Errorf("the extra EOS token %q is not a token of the tokenizer", token)
			}
		}
		if id < 0 || id >= vocab {
			return nil, fmt.Errorf("the extra EOS token %s is outside the vocabulary of %d tokens", token, vocab)
		}
		if !slices.Contains(set, id) {
			set = append(set, id)
		}
	}
	return set, nil
}

// SourceTokenizer reads the tokenizer of a model.
func SourceTokenizer(s Source) (*Tokenizer, error) {
	files := map[string][]byte{}
	for _, name := range []string{TokenizerFile, TokenizerConfigFile, templateFile, templateJSONFile} {
		data, err := s.Read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("model %s: %s: %w", s.Name, name, err)
		}
		files[name] = data
	}
	if files[TokenizerFile] == nil {
		return nil, fmt.Errorf("model %s has no %s: text cannot be turned into tokens", s.Name, TokenizerFile)
	}
	t, err := ParseTokenizer(files)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", s.Name, err)
	}
	return t, nil
}
