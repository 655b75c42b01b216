package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// parseGenerate returns the options that mlx generate would run with.
func parseGenerate(args ...string) (*generateOptions, error) {
	var got *generateOptions
	s := &streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	cmd := newGenerate(s, func(_ context.Context, _ *streams, o *generateOptions) error { got = o; return nil })
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetFlagErrorFunc(flagError)
	cmd.SetArgs(args)
	return got, cmd.Execute()
}

func parseChat(args ...string) (*chatOptions, error) {
	var got *chatOptions
	s := &streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	cmd := newChat(s, func(_ context.Context, _ *streams, o *chatOptions) error { got = o; return nil })
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetFlagErrorFunc(flagError)
	cmd.SetArgs(args)
	return got, cmd.Execute()
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// tags are the mapstructure names of a struct's fields.
func tags(v reflect.Type) []string {
	var out []string
	for i := range v.NumField() {
		switch tag := v.Field(i).Tag.Get("mapstructure"); tag {
		case "":
		case ",squash":
			out = append(out, tags(v.Field(i).Type)...)
		default:
			out = append(out, tag)
		}
	}
	return out
}

// No flag is without a field and no field without a flag.
func TestFlagsAreFields(t *testing.T) {
	s := &streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	for _, c := range []struct {
		cmd     *cobra.Command
		options any
	}{
		{newGenerate(s, nil), generateOptions{}},
		{newLogits(s, nil), logitsOptions{}},
		{newTokenize(s, nil), tokenizeOptions{}},
		{newChat(s, nil), chatOptions{}},
		{newInspect(s, nil), inspectOptions{}},
		{newChatTemplate(s, nil), chatTemplateOptions{}},
		{newBenchmark(s, nil), benchmarkOptions{}},
		{newLaunch(s, nil), launchOptions{}},
		{newDistributedConfig(s, nil), distributedConfigOptions{}},
		{newModelsRemove(s), removeOptions{}},
	} {
		flags := slices.DeleteFunc(flagNames(c.cmd.Flags()), func(s string) bool { return s == "config" || s == "help" })
		fields := tags(reflect.TypeOf(c.options))
		slices.Sort(flags)
		slices.Sort(fields)
		if !slices.Equal(flags, fields) {
			t.Errorf("%s: flags %v, fields %v", c.cmd.Name(), flags, fields)
		}
	}
}

// Each option can be set from each place, and means the same from each.
func TestBindEachOption(t *testing.T) {
	for _, c := range []struct{ flag, value, yaml string }{
		{"model", "some.dir/x::y", ""},
		{"prompt", " a, \"b\" \\n é\r\n", `" a, \"b\" \\n é\r\n"`},
		{"prompt-file", "x", ""},
		{"prompt-tokens", "1,2,3", "[1, 2, 3]"},
		{"prompts", "x.jsonl", ""},
		{"batch-size", "3", ""},
		{"trust-remote-code", "true", ""},
		{"system-prompt", "true", ""},
		{"prefill-response", "null", "'null'"},
		{"ignore-chat-template", "true", ""},
		{"chat-template-config", `{"Key.With.Dots": {"a": 1}}`, `'{"Key.With.Dots": {"a": 1}}'`},
		{"max-tokens", "-1", ""},
		{"stop", "a,b\r\n", `["a,b\r\n"]`},
		{"stop", "[x]", `["[x]"]`},
		{"extra-eos-token", "5", "[5]"},
		{"ignore-eos", "true", ""},
		{"temp", "0.7", ""},
		{"top-p", "0.5", ""},
		{"min-p", "0.25", ""},
		{"top-k", "7", ""},
		{"min-tokens-to-keep", "3", ""},
		{"xtc-probability", "0.5", ""},
		{"xtc-threshold", "0.2", ""},
		{"repetition-penalty", "1.1", ""},
		{"repetition-context-size", "64", ""},
		{"presence-penalty", "-0.5", ""},
		{"presence-context-size", "65", ""},
		{"frequency-penalty", "1e-3", ""},
		{"frequency-context-size", "66", ""},
		{"logit-bias", "1=2,3=-inf", `["1=2", "3=-inf"]`},
		{"seed", "18446744073709551615", ""},
		{"verbose", "f", ""},
		{"json", "true", ""},
		{"dtype", "bfloat16", ""},
		{"prefill-step-size", "16", ""},
		{"threads", "2", ""},
	} {
		plain, err := parseGenerate()
		if err != nil {
			t.Fatal(err)
		}
		byFlag, err := parseGenerate("--" + c.flag + "=" + c.value)
		if err != nil {
			t.Errorf("--%s: %v", c.flag, err)
			continue
		}
		yaml := c.yaml
		if yaml == "" {
			yaml = c.value
		}
		byFile, err := parseGenerate("--config", writeFile(t, "c.yaml", c.flag+": "+yaml+"\n"))
		if err != nil {
			t.Errorf("%s in a file: %v", c.flag, err)
			continue
		}
		t.Setenv(environmentName(c.flag), c.value)
		byEnv, err := parseGenerate()
		os.Unsetenv(environmentName(c.flag))
		if err != nil {
			t.Errorf("%s: %v", environmentName(c.flag), err)
			continue
		}
		for i, o := range []*generateOptions{byFlag, byEnv, byFile} {
			if want := []source{fromFlag, fromEnvironment, fromFile}[i]; o.from[c.flag] != want {
				t.Errorf("%s: from %d, want %d", c.flag, o.from[c.flag], want)
			}
			o.from = nil
		}
		plain.from = nil
		if reflect.DeepEqual(byFlag, plain) {
			t.Errorf("--%s %s changes nothing", c.flag, c.value)
		}
		if !reflect.DeepEqual(byFlag, byEnv) || !reflect.DeepEqual(byFlag, byFile) {
			t.Errorf("%s: flag %+v\nenvironment %+v\nfile %+v", c.flag, byFlag, byEnv, byFile)
		}
	}
}

func TestBindKeepsTexts(t *testing.T) {
	o, err := parseGenerate("--stop", "a,b", "--stop", "\r\n", "--stop", "\"", "--prompt", "[1, 2]")
	if err != nil || !slices.Equal(o.Stop, []string{"a,b", "\r\n", "\""}) || o.Prompt != "[1, 2]" {
		t.Errorf("%q %q %v", o.Stop, o.Prompt, err)
	}
}

func TestBindFaults(t *testing.T) {
	for _, c := range []struct{ yaml, fault string }{
		{"nonsense-option: 1", `unknown key "nonsense-option"`},
		{"max_tokns: 1", "did you mean max-tokens?"},
		{"config: x", `unknown key "config"`},
		{"help: true", `unknown key "help"`},
		{"a.b: 1", `unknown key "a.b"`},
		{"temp: [1]", "a list stands where one value is wanted"},
		{"temp: {a: 1}", "put JSON in quotes"},
		{"prompt-tokens: [1, x]", "prompt-tokens:"},
		{"stop: [[a]]", "stop:"},
		{"seed: -1", `seed: "-1" is not a whole number from 0 on`},
		{"- 1", "config"},
		{"temp: 1\ntemp: 2", "config"},
	} {
		_, err := parseGenerate("--config", writeFile(t, "c.yaml", c.yaml))
		var usage *usageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), c.fault) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %q", c.yaml, err, c.fault)
		}
	}
	if _, err := parseGenerate("--config", writeFile(t, "empty.yaml", "")); err != nil {
		t.Errorf("empty file: %v", err)
	}
	if o, err := parseGenerate("--config", writeFile(t, "null.yaml", "temp:\n")); err != nil || o.from.set("temp") {
		t.Errorf("null: %v", err)
	}
}

// The examples have every key: set, or commented out with a value that is taken.
func TestExampleConfig(t *testing.T) {
	o, err := parseGenerate("--config", filepath.Join("..", "..", "configs", "generate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if o.Sampling.Temp != 0.7 || o.Sampling.TopP != 0.95 || o.Model != builtinModel {
		t.Errorf("%+v", o)
	}
	parsers := map[string]func(...string) error{
		"generate": func(args ...string) error { _, err := parseGenerate(args...); return err },
		"chat":     func(args ...string) error { _, err := parseChat(args...); return err },
		"launch": func(args ...string) error {
			cmd := newLaunch(&streams{}, func(context.Context, *streams, *launchOptions) error { return nil })
			cmd.SetArgs(args)
			return cmd.Execute()
		},
	}
	for _, cmd := range []*cobra.Command{newGenerate(&streams{}, nil), newChat(&streams{}, nil), newLaunch(&streams{}, nil)} {
		parse, path := parsers[cmd.Name()], filepath.Join("..", "..", "configs", cmd.Name()+".yaml")
		if err := parse("--config", path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, m := range regexp.MustCompile(`(?m)^(# )?([a-z-]+): .+$`).FindAllStringSubmatch(string(data), -1) {
			seen[m[2]] = true
			line := strings.TrimPrefix(m[0], "# ")
			if err := parse("--config", writeFile(t, "c.yaml", line)); err != nil {
				t.Errorf("%q: %v", line, err)
			}
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !seen[f.Name] && f.Name != "config" {
				t.Errorf("%s is not in %s", f.Name, path)
			}
		})
	}
}

func TestPromptSource(t *testing.T) {
	file := writeFile(t, "c.yaml", "prompt: a\n")
	o, err := parseGenerate("--config", file, "--prompt-tokens", "1")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := o.promptSource(); got != "prompt-tokens" || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := parseGenerate("--config", writeFile(t, "two.yaml", "prompt: a\nprompt-tokens: [1]\n")); err == nil {
		t.Error("two prompts of one file were taken")
	}
	// A flag that leaves the template out is stronger than the file.
	file = writeFile(t, "system.yaml", "system-prompt: a\n")
	if o, err = parseGenerate("--config", file, "--ignore-chat-template"); err != nil {
		t.Fatal(err)
	}
	if p, err := o.templateOptions("x"); err != nil || p.System != "" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"temp", "temp", 0}, {"tmp", "temp", 1}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
