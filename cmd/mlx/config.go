package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// source says who set an option. A larger one wins.
type source int

const (
	fromDefault source = iota
	fromFile
	fromEnvironment
	fromFlag
)

// sources are the options that somebody set.
type sources map[string]source

func (s sources) set(name string) bool { return s[name] > fromDefault }

// addConfig declares --config. Commands that call bind have it.
func addConfig(cmd *cobra.Command) {
	cmd.Flags().String("config", "", "YAML `FILE` with options by their flags' names")
}

// bind fills options, a pointer to a struct whose mapstructure tags are names of
// flags: from the flags, else the environment (MLX_MAX_TOKENS for max-tokens, an
// empty variable does not count), else the file of --config, else the defaults.
// It is the only place that knows viper, and has a viper of its own: none is
// shared. All faults are usage errors that name the place.
func bind(cmd *cobra.Command, options any) (sources, error) { return bindNested(cmd, options, nil) }

// bindNested is bind for commands whose file may have further keys, those of nested,
// whose values are lists or objects: it fills them in.
func bindNested(cmd *cobra.Command, options any, nested map[string]any) (sources, error) {
	flags := cmd.Flags()
	from := make(sources)
	flags.Visit(func(f *pflag.Flag) { from[f.Name] = fromFlag })
	if err := bindEnvironment(flags, from); err != nil {
		return nil, err
	}
	if path := flags.Lookup("config").Value.String(); path != "" {
		if err := bindFile(flags, from, path, nested); err != nil {
			return nil, err
		}
	}
	// Each flag has its last value by now, checked by its type.
	v := newViper()
	if err := v.BindPFlags(flags); err != nil {
		return nil, err
	}
	// viper takes lists apart and puts them together as CSV, which changes "\r\n".
	flags.VisitAll(func(f *pflag.Flag) {
		if list, ok := f.Value.(pflag.SliceValue); ok {
			v.Set(f.Name, list.GetSlice())
		}
	})
	if err := v.Unmarshal(options); err != nil {
		return nil, &usageError{err}
	}
	return from, nil
}

// newViper makes a viper that does not cut keys at dots.
func newViper() *viper.Viper { return viper.NewWithOptions(viper.KeyDelimiter("::")) }

// bindable are the flags that environment and file may set.
func bindable(flags *pflag.FlagSet, visit func(*pflag.Flag)) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			visit(f)
		}
	})
}

// notFromEnvironment is an annotation of flags whose variable means something else.
const notFromEnvironment = "not from environment"

func environmentName(flag string) string {
	return "MLX_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func bindEnvironment(flags *pflag.FlagSet, from sources) error {
	v := newViper()
	v.SetEnvPrefix("MLX")
	v.SetEnvKeyReplacer(strings.NewReplacer("-", "_"))
	v.AutomaticEnv()
	var fault error
	bindable(flags, func(f *pflag.Flag) {
		if _, never := f.Annotations[notFromEnvironment]; never || fault != nil || from.set(f.Name) || !v.IsSet(f.Name) {
			return
		}
		value := v.GetString(f.Name)
		if err := flags.Set(f.Name, value); err != nil {
			fault = badValue(environmentName(f.Name), f, value)
			return
		}
		from[f.Name] = fromEnvironment
	})
	return fault
}

// Keys may be written as mlx-lm does, with _ for -.
func bindFile(flags *pflag.FlagSet, from sources, path string, nested map[string]any) error {
	data, err := os.Open(path)
	if err != nil {
		return &usageError{fmt.Errorf("config: %w", err)}
	}
	defer data.Close()
	v := newViper()
	v.SetConfigType("yaml")
	if err := v.ReadConfig(data); err != nil {
		return usagef("config %s: %s", path, oneLine(err))
	}
	var names []string
	bindable(flags, func(f *pflag.Flag) {
		if f.Name != "config" {
			names = append(names, f.Name)
		}
	})
	settings := v.AllSettings()
	for _, key := range sortedKeys(settings) {
		value := settings[key]
		if _, ok := nested[key]; ok {
			nested[key] = value
			continue
		}
		name := strings.ReplaceAll(key, "_", "-")
		if !slices.Contains(names, name) {
			return usagef("config %s: unknown key %q%s", path, key, didYouMean(name, append(names, sortedKeys(nested)...), ""))
		}
		if from.set(name) || value == nil {
			continue
		}
		if err := setFromFile(flags, name, value); err != nil {
			return usagef("config %s: %w", path, err)
		}
		from[name] = fromFile
	}
	return nil
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// setFromFile sets a flag from a value of YAML: a list once for each item.
func setFromFile(flags *pflag.FlagSet, key string, value any) error {
	f := flags.Lookup(key)
	items, isList := value.([]any)
	_, takesList := f.Value.(pflag.SliceValue)
	switch {
	case !isList:
		items = []any{value}
	case !takesList:
		return fmt.Errorf("%s: a list stands where one value is wanted", key)
	}
	texts := make([]string, len(items))
	for i, item := range items {
		text, ok := scalar(item)
		if !ok {
			return fmt.Errorf("%s: neither a list nor an object is a value of it; put JSON in quotes", key)
		}
		texts[i] = text
	}
	if isList {
		// Item by item, so that a comma in a text stays.
		if err := f.Value.(pflag.SliceValue).Replace(texts); err != nil {
			return badValue(key, f, strings.Join(texts, ","))
		}
		f.Changed = true
		return nil
	}
	if err := flags.Set(key, texts[0]); err != nil {
		return badValue(key, f, texts[0])
	}
	return nil
}

// scalar is a value of YAML as a flag would be written.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case int, int64, uint64:
		return fmt.Sprint(v), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	}
	return "", false
}

// oneLine makes one line of an error of the YAML parser.
func oneLine(err error) string {
	var parse viper.ConfigParseError
	if errors.As(err, &parse) {
		err = errors.Unwrap(parse)
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}
