package dataset

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/mlxgo/mlx/internal/hf/shards"
)

// The splits that names of files stand for, and the words that name them.
const (
	Train      = "train"
	Validation = "validation"
	Test       = "test"
)

var keywords = []struct {
	split string
	words []string
}{
	{Train, []string{"train", "training"}},
	{Validation, []string{"validation", "valid", "dev", "val"}},
	{Test, []string{"test", "testing", "eval", "evaluation"}},
}

// Patterns are globs of files by split: * is part of a name, ** also of the path.
type Patterns map[string][]string

// A Layout says where the data are: files by Patterns, nil for those that names tell, in
// the directory Dir, "" for all of the dataset.
type Layout struct {
	Patterns Patterns
	Dir      string
}

// Files are the files of each split that are JSON or JSON Lines, in the order of their
// rows. Without patterns the names tell: data/SPLIT-00000-of-00001.*, else directories
// that are called as a split, else files, else all are of train. Data in another format
// are an error that says what to do.
func Files(names []string, l Layout) (map[string][]string, error) {
	dir := strings.TrimLeft(path.Clean("/"+l.Dir)+"/", "/")
	var inside []string
	for _, name := range slices.Sorted(slices.Values(names)) {
		if rest, ok := strings.CutPrefix(name, dir); ok && isData(rest) {
			inside = append(inside, rest)
		}
	}
	splits, err := byPatterns(inside, l.Patterns)
	if l.Patterns == nil {
		splits, err = byNames(inside), nil
	}
	if err != nil {
		return nil, err
	}
	for _, list := range splits {
		for i := range list {
			list[i] = dir + list[i]
		}
	}
	if err := readable(splits); err != nil {
		return nil, err
	}
	for _, split := range slices.Sorted(maps.Keys(splits)) {
		if missing, _ := shards.Missing(splits[split], shards.OfData); missing != "" {
			return nil, fmt.Errorf("%s is missing", missing)
		}
	}
	return splits, nil
}

// formats are the endings of files of data; true are those that can be read.
var formats = map[string]bool{
	".jsonl": true, ".json": true, ".ndjson": true,
	".parquet": false, ".arrow": false, ".csv": false, ".tsv": false, ".txt": false, ".xml": false,
	".zst": false, ".zip": false, ".tar": false, ".bz2": false, ".xz": false, ".gz": false, ".7z": false,
}

// notData are files beside the data.
var notData = []string{"config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "dummy_data.zip", "state.json", "package.json"}

// ending is that of a name, without .gz after one that can be read.
func ending(name string) string {
	if e := path.Ext(strings.TrimSuffix(name, ".gz")); formats[e] {
		return e
	}
	return path.Ext(name)
}

// isData reports whether a file may have rows: those in hidden directories, or in ones
// that begin with two underscores, have none.
func isData(name string) bool {
	_, known := formats[ending(name)]
	if !known || slices.Contains(notData, path.Base(name)) {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") || strings.HasPrefix(part, "__") && part != path.Base(name) {
			return false
		}
	}
	return true
}

var shardForm = regexp.MustCompile(`^data/(\w+(?:\.\w+)*)-\d{5}-of-\d{5}[^/]*\.[^/]*$`)

// byNames finds the splits without patterns.
func byNames(names []string) map[string][]string {
	splits := map[string][]string{}
	for _, name := range names {
		if m := shardForm.FindStringSubmatch(name); m != nil {
			splits[m[1]] = append(splits[m[1]], name)
		}
	}
	if len(splits) > 0 {
		return splits
	}
	const separator = `[-._ 0-9]`
	for _, form := range []string{ // of directories, of files
		`(^|.*/)(|[^/]*` + separator + `)(%s)(|` + separator + `[^/]*)/.*`,
		`(^|.*/)(|[^/]*` + separator + `)(%s)` + separator + `[^/]*`,
	} {
		for _, k := range keywords {
			re := regexp.MustCompile("^" + fmt.Sprintf(form, strings.Join(k.words, "|")) + "$")
			for _, name := range names {
				if re.MatchString(name) {
					splits[k.split] = append(splits[k.split], name)
				}
			}
		}
		if len(splits) > 0 {
			return splits
		}
	}
	if len(names) > 0 {
		splits[Train] = slices.Clone(names)
	}
	return splits
}

// byPatterns finds the splits by globs, each of which must match something.
func byPatterns(names []string, patterns Patterns) (map[string][]string, error) {
	splits := map[string][]string{}
	for _, split := range slices.Sorted(maps.Keys(patterns)) {
		for _, p := range patterns[split] {
			found, err := match(names, p)
			if err != nil {
				return nil, err
			}
			if found == nil {
				return nil, fmt.Errorf("data_files: no file of data matches %q, of split %s", p, split)
			}
			splits[split] = merge(splits[split], found)
		}
	}
	return splits, nil
}

// match are the names that a glob means.
func match(names []string, glob string) (found []string, err error) {
	re, err := compile(strings.TrimPrefix(glob, "./"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if re.MatchString(name) {
			found = append(found, name)
		}
	}
	return found, nil
}

// compile makes a regular expression of a glob.
func compile(glob string) (*regexp.Regexp, error) {
	var b strings.Builder
	b.WriteByte('^')
	for i := 0; i < len(glob); i++ {
		rest := glob[i:]
		set := strings.IndexByte(rest, ']')
		switch {
		case strings.HasPrefix(rest, "**/"):
			b.WriteString("(?:.*/)?")
			i += 2
		case strings.HasPrefix(rest, "**"):
			b.WriteString(".*")
			i++
		case rest[0] == '*':
			b.WriteString("[^/]*")
		case rest[0] == '?':
			b.WriteString("[^/]")
		case rest[0] == '[' && set > 1:
			inside := strings.NewReplacer(`\`, `\\`, "[", `\[`).Replace(rest[1:set])
			if inside[0] == '!' {
				inside = "^" + inside[1:]
			}
			b.WriteString("[" + inside + "]")
			i += set
		default:
			b.WriteString(regexp.QuoteMeta(rest[:1]))
		}
	}
	re, err := regexp.Compile(b.String() + "$")
	if err != nil {
		return nil, fmt.Errorf("data_files: %q is no pattern of names", glob)
	}
	return re, nil
}

// merge appends what is not there yet.
func merge(list, more []string) []string {
	for _, name := range more {
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// readable leaves the files that can be read, if they are the most.
func readable(splits map[string][]string) error {
	good, bad, other := 0, 0, ""
	for _, split := range slices.Sorted(maps.Keys(splits)) {
		for _, name := range splits[split] {
			if formats[ending(name)] {
				good++
				continue
			}
			if bad++; other == "" {
				other = name
			}
		}
	}
	if bad > good {
		return &FormatError{Name: other}
	}
	for split, names := range splits {
		splits[split] = slices.DeleteFunc(names, func(name string) bool { return !formats[ending(name)] })
		if len(splits[split]) == 0 {
			delete(splits, split)
		}
	}
	return nil
}

// FormatError is a dataset whose files are of no format that can be read.
type FormatError struct{ Name string } // one of them

func (e *FormatError) Error() string {
	return fmt.Sprintf("its data are files as %s, and only JSON and JSON Lines (.jsonl, .json, .jsonl.gz) are read", e.Name)
}
