package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mlxgo/mlx/internal/hf/dataset"
	"github.com/mlxgo/mlx/internal/hf/hub"
	"github.com/mlxgo/mlx/internal/llm/tune"
)

// defaultData is mlx-lm's --data.
const defaultData = "mlx-community/WikiSQL"

// hubData is one of hf_dataset, or --data when it names a dataset: where its rows are and
// what they are read as.
type hubData struct {
	Path, Name, Revision string
	layout               dataset.Layout
	splits               map[string][]dataset.Part // by train, valid and test; nil: what the names of files tell
	rows                 tune.DataOptions
}

// dataFromHub is --data org/name or org/name@REVISION.
func (o *loraOptions) dataFromHub() *hubData {
	path, revision, _ := strings.Cut(o.Data, "@")
	return &hubData{Path: path, Revision: revision, rows: o.rowOptions()}
}

func (o *loraOptions) rowOptions() tune.DataOptions {
	return tune.DataOptions{MaskPrompt: o.MaskPrompt, PromptFeature: o.PromptFeature, CompletionFeature: o.CompletionFeature, TextFeature: o.TextFeature, ChatFeature: o.ChatFeature}
}

// readHubData reads hf_dataset: an object, or a list of objects whose rows are joined.
func (o *loraOptions) readHubData(v any) error {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for i, one := range list {
		place := "hf_dataset"
		if ok {
			place = fmt.Sprintf("hf_dataset, number %d", i+1)
		}
		m, isObject := one.(map[string]any)
		if !isObject {
			return fmt.Errorf("%s: it is no object", place)
		}
		d := &hubData{rows: o.rowOptions(), splits: map[string][]dataset.Part{}}
		if err := d.read(m, o.Train, o.Test); err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
		o.hubData = append(o.hubData, d)
	}
	if len(list) == 0 {
		return errors.New("hf_dataset: the list is empty")
	}
	return nil
}

func (d *hubData) read(m map[string]any, train, test bool) error {
	texts := map[string]*string{
		"path": &d.Path, "prompt_feature": &d.rows.PromptFeature, "completion_feature": &d.rows.CompletionFeature,
		"text_feature": &d.rows.TextFeature, "chat_feature": &d.rows.ChatFeature,
	}
	train80, valid10, testAll := "train[:80%]", "train[-10%:]", "" // mlx-lm's defaults
	texts["train_split"], texts["valid_split"], texts["test_split"] = &train80, &valid10, &testAll
	known := append(sortedKeys(toAny(texts)), "mask_prompt", "config")
	for _, key := range sortedKeys(m) {
		v := m[key]
		switch to := texts[key]; {
		case v == nil:
		case to != nil:
			s, ok := v.(string)
			if !ok || s == "" {
				return fmt.Errorf("%s is %v: it must be a text", key, v)
			}
			*to = s
		case key == "mask_prompt":
			b, ok := v.(bool)
			if !ok {
				return fmt.Errorf("mask_prompt is %v: it must be true or false", v)
			}
			d.rows.MaskPrompt = b
		case key == "config":
			if err := d.readConfig(v); err != nil {
				return fmt.Errorf("config: %w", err)
			}
		default:
			return fmt.Errorf("unknown key %q%s", key, didYouMean(key, known, ""))
		}
	}
	if d.Path == "" {
		return errors.New("path is missing: org/name of a dataset, or a directory")
	}
	if test && testAll == "" {
		return errors.New("test_split is missing, which --test needs")
	}
	for set, c := range map[string]struct {
		on   bool
		text string
	}{"train": {train, train80}, "valid": {train, valid10}, "test": {test, testAll}} {
		if !c.on {
			continue
		}
		var err error
		if d.splits[set], err = dataset.ParseParts(c.text); err != nil {
			return fmt.Errorf("%s_split: %w", set, err)
		}
	}
	return nil
}

// toAny is a map with values of any type.
func toAny[V any](m map[string]V) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	return out
}

// readConfig reads the keywords of datasets.load_dataset that mean something here.
func (d *hubData) readConfig(v any) error {
	m, ok := v.(map[string]any)
	if !ok {
		return errors.New("it is no object")
	}
	texts := map[string]*string{"name": &d.Name, "revision": &d.Revision, "data_dir": &d.layout.Dir}
	for _, key := range sortedKeys(m) {
		var err error
		switch to := texts[key]; {
		case m[key] == nil:
		case to != nil:
			if *to, ok = m[key].(string); !ok {
				return fmt.Errorf("%s is %v: it must be a text", key, m[key])
			}
		case key == "data_files":
			if d.layout.Patterns, err = dataset.ParsePatterns(m[key]); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s is not available here: there are name, revision, data_dir and data_files", key)
		}
	}
	return nil
}

// needed are the splits whose files are read.
func (d *hubData) needed(train, test bool) map[string][]dataset.Part {
	if d.splits != nil {
		return d.splits
	}
	sets := map[string][]dataset.Part{}
	if train {
		sets["train"], sets["valid"] = []dataset.Part{{Split: dataset.Train}}, []dataset.Part{{Split: dataset.Validation}}
	}
	if test {
		sets["test"] = []dataset.Part{{Split: dataset.Test}}
	}
	return sets
}

// open finds the files of the dataset's splits, fetching them if Path is no directory.
func (d *hubData) open(ctx context.Context, s *streams, sets map[string][]dataset.Part) (dir string, files map[string][]string, err error) {
	if info, err := os.Stat(d.Path); err == nil && info.IsDir() {
		if d.Revision != "" {
			return "", nil, fmt.Errorf("%s is a directory, which has no revision %s", d.Path, d.Revision)
		}
		files, err := d.files(d.Path)
		if err != nil {
			err = fmt.Errorf("%s: %w", d.Path, d.explain(err))
		}
		return d.Path, files, err
	}
	if err := hub.CheckRepo(d.Path); err != nil {
		return "", nil, fmt.Errorf("there is no directory %s, and it is no dataset of the Hub: %w", d.Path, err)
	}
	if d.Revision != "" {
		if err := hub.CheckRevision(d.Revision); err != nil {
			return "", nil, err
		}
	}
	fmt.Fprintf(s.err, "Loading Hugging Face dataset %s.\n", d.Path)
	v := &fetchView{s: s, repo: d.Path}
	client, err := newHub(v)
	if err != nil {
		return "", nil, err
	}
	defer v.end()
	readme, err := client.Dataset(ctx, d.Path, d.Revision, func(names []string) ([]string, error) {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name != readmeName }), nil
	})
	if err != nil {
		return "", nil, d.explain(err)
	}
	snapshot, err := client.Dataset(ctx, d.Path, readme.Commit, func(names []string) ([]string, error) {
		if files, err = d.find(readme.Dir, names); err != nil {
			return nil, err
		}
		var wanted []string
		for _, parts := range sets {
			for _, p := range parts {
				wanted = append(wanted, files[p.Split]...)
			}
		}
		slices.Sort(wanted)
		return slices.Compact(wanted), nil
	})
	if err != nil {
		return "", nil, d.explain(err)
	}
	return snapshot.Dir, files, nil
}

// readmeName is the file whose header may say where the data are.
const readmeName = "README.md"

// files finds those of a directory.
func (d *hubData) files(dir string) (map[string][]string, error) {
	names, err := hub.FileNames(dir)
	if err != nil {
		return nil, err
	}
	return d.find(dir, names)
}

// find tells the files of each split by their names, by what hf_dataset says of them, or by
// the README.md in dir.
func (d *hubData) find(dir string, names []string) (map[string][]string, error) {
	layout := d.layout
	if layout.Patterns == nil && layout.Dir == "" || d.Name != "" {
		readme, err := os.ReadFile(filepath.Join(dir, readmeName))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if layout, err = dataset.ReadmeLayout(readme, d.Name); err != nil {
			return nil, err
		}
		if d.layout.Patterns != nil {
			layout.Patterns = d.layout.Patterns
		}
	}
	return dataset.Files(names, layout)
}

// explain says what to do about a dataset that cannot be had.
func (d *hubData) explain(err error) error {
	if err == nil {
		return nil
	}
	var status *hub.StatusError
	if errors.As(err, &status) && (status.Code == http.StatusNotFound || status.Code == http.StatusUnauthorized) && status.Kind != "RevisionNotFound" {
		return fmt.Errorf("Not found Hugging Face dataset: %s . There is no directory of that name either, and on the Hub %w", d.Path, err) //lint:ignore ST1005 mlx-lm's words
	}
	if format, ok := errors.AsType[*dataset.FormatError](err); ok {
		return fmt.Errorf("dataset %s: %w; in Python, datasets.load_dataset(%q, split=\"train\").to_json(\"data/train.jsonl\"), and the like for valid and test, makes files for --data data", d.Path, format, d.Path)
	}
	return err
}

// records reads the rows of each set.
func (d *hubData) records(ctx context.Context, s *streams, train, test bool) (map[string][]tune.Record, error) {
	sets := d.needed(train, test)
	dir, files, err := d.open(ctx, s, sets)
	if err != nil {
		return nil, err
	}
	// A dataset may call it valid, as mlx-lm does.
	if d.splits == nil && files["valid"] != nil {
		files[dataset.Validation] = files["valid"]
	}
	out := map[string][]tune.Record{}
	bySplit := map[string][]tune.Record{}
	for _, set := range sortedKeys(toAny(sets)) {
		for _, p := range sets[set] {
			if files[p.Split] == nil && d.splits != nil {
				return nil, fmt.Errorf("dataset %s has no split %q: there are %s", d.Path, p.Split, strings.Join(sortedKeys(toAny(files)), ", "))
			}
			if bySplit[p.Split] == nil {
				for _, name := range files[p.Split] {
					more, err := tune.ReadRecords(filepath.Join(dir, filepath.FromSlash(name)))
					if err != nil {
						return nil, err
					}
					bySplit[p.Split] = append(bySplit[p.Split], more...)
				}
			}
			all := bySplit[p.Split]
			from, to, err := p.Rows(len(all))
			if err != nil {
				return nil, fmt.Errorf("dataset %s: %w", d.Path, err)
			}
			out[set] = append(out[set], all[from:to]...)
		}
	}
	return out, nil
}

// readRows reads the sets that are needed, by train, valid and test.
func (r *loraRun) readRows(ctx context.Context) (map[string][]tune.Row, error) {
	o := r.o
	sources := o.hubData
	if sources == nil {
		if o.Data == "" {
			r.s.note("no --data is given: this is the dataset %s of the Hub", defaultData)
			o.Data = defaultData
		}
		if info, err := os.Stat(o.Data); err == nil && info.IsDir() {
			return r.localRows()
		} else if err == nil {
			return nil, fmt.Errorf("--data %s is a file: it must be a directory with train.jsonl, valid.jsonl and test.jsonl, or org/name of a dataset on the Hub", o.Data)
		}
		sources = []*hubData{o.dataFromHub()}
	}
	rows := map[string][]tune.Row{}
	for _, d := range sources {
		records, err := d.records(ctx, r.s, o.Train, o.Test)
		if err != nil {
			return nil, err
		}
		for _, set := range sortedKeys(toAny(records)) {
			more, err := tune.ParseRows(records[set], r.m.Tokenizer, d.rows)
			if err != nil {
				return nil, err
			}
			rows[set] = append(rows[set], more...)
		}
	}
	return rows, nil
}

// localRows reads --data when it is a directory.
func (r *loraRun) localRows() (map[string][]tune.Row, error) {
	rows := map[string][]tune.Row{}
	var sets []string
	if r.o.Train {
		sets = append(sets, "train", "valid")
	}
	if r.o.Test {
		sets = append(sets, "test")
	}
	for _, set := range sets {
		records, err := tune.ReadSet(r.o.Data, set)
		if err == nil {
			rows[set], err = tune.ParseRows(records, r.m.Tokenizer, r.o.rowOptions())
		}
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// setName is what messages call a set.
func (o *loraOptions) setName(set string) string {
	if info, err := os.Stat(o.Data); o.hubData == nil && err == nil && info.IsDir() {
		return filepath.Join(o.Data, set+".jsonl")
	}
	var names []string
	for _, d := range o.hubData {
		names = append(names, d.Path)
	}
	if names == nil {
		names = []string{o.Data}
	}
	return set + " of " + strings.Join(names, ", ")
}

// settings are the options and the rows that a run must keep to go on exactly. Each save
// has them, and the rows are read for them once.
func (r *loraRun) settings() map[string]string {
	if r.kept != nil {
		return r.kept
	}
	r.kept = r.o.settings()
	for name, set := range map[string]*tune.Set{"training rows": r.train, "validation rows": r.valid} {
		if r.kept[name] = "none"; set != nil {
			r.kept[name] = set.String()
		}
	}
	return r.kept
}
