package examples

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// arguments make the examples that measure small enough for a test.
var arguments = map[string][]string{
	"compile": {"-iters", "1", "-batch", "1"},
	"fast":    {"-iters", "1", "-batch", "16"},
}

// TestExamples runs each example and compares what it prints with its EXPECTED.txt.
func TestExamples(t *testing.T) {
	gobin, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command")
	}
	mains, err := filepath.Glob("*/main.go")
	if err != nil || len(mains) < 14 {
		t.Fatalf("%d examples, %v", len(mains), err)
	}
	dir := t.TempDir()
	build := []string{"build", "-tags", buildTags, "-o", dir + string(filepath.Separator)}
	for _, m := range mains {
		build = append(build, "./"+filepath.Dir(m))
	}
	if out, err := exec.Command(gobin, build...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, m := range mains {
		name := filepath.Dir(m)
		t.Run(name, func(t *testing.T) {
			run(t, name, filepath.Join(dir, name))
		})
	}
}

func run(t *testing.T, name, program string) {
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	var stderr bytes.Buffer
	cmd := exec.Command(program, arguments[name]...)
	cmd.Stderr = &stderr
	if name == "custom_kernel" {
		if !hasMetal() {
			refuses(t, cmd)
			return
		}
		cmd.Env = append(os.Environ(), metalEnv)
	}
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	want, err := os.ReadFile(filepath.Join(name, "EXPECTED.txt"))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, string(out), string(want))
	if name == "mlp" {
		learned(t, string(out))
	}
}

// refuses: an example that needs Metal says so, and fails.
func refuses(t *testing.T, cmd *exec.Cmd) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || len(out) > 0 {
		t.Errorf("%v, %q", err, out)
	}
	if text := stderr.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "need a Metal GPU; on Linux build with -tags metalemu") {
		t.Errorf("it says %q", text)
	}
}

// compare compares lines. In the wanted text lines that begin with # are notes, and N
// stands for a number.
func compare(t *testing.T, got, want string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(want) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	have := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	for i := range max(len(have), len(lines)) {
		switch {
		case i >= len(have):
			t.Errorf("line %d is missing: %q", i+1, lines[i])
		case i >= len(lines):
			t.Errorf("line %d is too much: %q", i+1, have[i])
		case !lineIs(have[i], lines[i]):
			t.Errorf("line %d is %q, want %q", i+1, have[i], lines[i])
		}
	}
}

// TestTour: what the README shows of an example is in its program and its output.
func TestTour(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, tour, _ := strings.Cut(string(readme), "### A tour")
	tour, _, _ = strings.Cut(tour, "\n## ")
	shown := regexp.MustCompile("(?ms)^\\[(\\w+)\\]\\(examples/\\w+\\): .*?\n\n((?:^```.*?^```\n)+)").FindAllStringSubmatch(tour, -1)
	if len(shown) < 5 {
		t.Fatalf("the tour shows %d examples", len(shown))
	}
	for _, s := range shown {
		for _, block := range regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```\n").FindAllStringSubmatch(s[2], -1) {
			file := "EXPECTED.txt"
			if block[1] == "go" {
				file = "main.go"
			}
			text, err := os.ReadFile(filepath.Join(s[1], file))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), block[2]) {
				t.Errorf("%s/%s has no\n%s", s[1], file, block[2])
			}
		}
	}
	mains, _ := filepath.Glob("*/main.go")
	for _, m := range mains {
		if name := filepath.Dir(m); !strings.Contains(tour, "| ["+name+"](examples/"+name+") |") {
			t.Errorf("the tour does not list %s", name)
		}
	}
}

// TestFirstProgram runs the program that the README begins with.
func TestFirstProgram(t *testing.T) {
	gobin, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command")
	}
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, library, _ := strings.Cut(string(readme), "## The library")
	found := regexp.MustCompile("(?ms)^```go\n(package main.*?)^```\n```\n(.*?)^```\n").FindStringSubmatch(library)
	if found == nil {
		t.Fatal("the README has no program with its output")
	}
	path := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(path, []byte(found[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(gobin, "run", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	compare(t, string(out), found[2])
}

var anyNumber = regexp.MustCompile(`\bN(x?)\b`)

func lineIs(got, want string) bool {
	return regexp.MustCompile("^" + anyNumber.ReplaceAllString(regexp.QuoteMeta(want), `[0-9]+(\.[0-9]+)?$1`) + "$").MatchString(got)
}

func TestLineIs(t *testing.T) {
	for _, c := range []struct {
		got, want string
		is        bool
	}{
		{"speedup: 3.25x", "speedup: Nx", true}, {"took 12 sec", "took N sec", true}, {"NaN (2, 3)", "NaN (2, 3)", true},
		{"took some sec", "took N sec", false}, {"speedup: 3.25", "speedup: Nx", false}, {"a", "ab", false},
	} {
		if lineIs(c.got, c.want) != c.is {
			t.Errorf("%q against %q is not %v", c.got, c.want, c.is)
		}
	}
}

// learned: the last loss is low and the two spirals are told apart.
func learned(t *testing.T, out string) {
	t.Helper()
	number := func(before string) float64 {
		s := out[strings.LastIndex(out, before)+len(before):]
		v, err := strconv.ParseFloat(strings.TrimSpace(strings.SplitN(s, "\n", 2)[0]), 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if loss := number("loss "); loss > 0.01 {
		t.Errorf("the loss ends at %v", loss)
	}
	if accuracy := number("accuracy "); accuracy < 0.99 {
		t.Errorf("the accuracy is %v", accuracy)
	}
}
