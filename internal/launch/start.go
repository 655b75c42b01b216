package launch

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

// startUp brings up all hosts, gives them their files and starts the ranks; no rank
// starts before all hosts are up.
func (r *run) startUp() bool {
	up := func() bool {
		r.connectMore()
		return !slices.ContainsFunc(r.all(), func(s *session) bool { return !s.up })
	}
	if !r.until(up, r.options.Timeout, r.notUp) {
		return false
	}
	if !r.buildAll() || !r.sendFiles() {
		return false
	}
	for _, s := range r.workers {
		s.code(r.rankCode(s))
	}
	running := func() bool {
		return !slices.ContainsFunc(r.workers, func(s *session) bool { return !s.running && !s.ended })
	}
	return r.until(running, r.options.Timeout, func() error {
		i := slices.IndexFunc(r.workers, func(s *session) bool { return !s.running && !s.ended })
		return fmt.Errorf("%s did not start within %v", r.workers[i].name(), r.options.Timeout)
	})
}

// connectMore starts sessions, not too many at once to one host.
func (r *run) connectMore() {
	making := map[string]int{}
	for _, s := range r.all() {
		if s.started && !s.up && !s.isGone {
			making[s.host]++
		}
	}
	for _, s := range r.all() {
		if s.started || making[s.host] >= r.connect {
			continue
		}
		making[s.host]++
		r.verbose("%s: %s", s.name(), quoteAll(s.argv))
		if err := s.start(); err != nil {
			r.fail(fmt.Errorf("%s: %w", s.name(), err))
			return
		}
	}
}

// notUp names the hosts that did not come up in time, and what is known of why.
func (r *run) notUp() error {
	var hosts []string
	for _, s := range r.all() {
		if s.up {
			continue
		}
		text := s.host
		if why := s.reason(); why != "" {
			text += " (" + why + ")"
		}
		if !slices.Contains(hosts, text) {
			hosts = append(hosts, text)
		}
	}
	return fmt.Errorf("%s did not come up within %v", strings.Join(hosts, ", "), r.options.Timeout)
}

// buildAll builds the program for each kind of host.
func (r *run) buildAll() bool {
	b := r.program.build
	if b == nil {
		return true
	}
	var systems []string
	for _, s := range r.workers { // a Go program for this machine is built here too
		if !slices.Contains(systems, s.system) {
			systems = append(systems, s.system)
		}
	}
	r.built = map[string]string{}
	for _, system := range systems {
		r.verbose("building %s for %s", b.name, system)
		r.isBuilt = false
		var path string
		go func() {
			var err error
			path, err = b.build(r.ctx, system, r.holders[0].dir)
			r.tell("built", err)
		}()
		if !r.until(func() bool { return r.isBuilt }, 0, nil) {
			for !r.isBuilt { // its files are in a directory that is about to go
				r.next(nil)
			}
			return false
		}
		r.built[system] = path
	}
	return true
}

// sendFiles gives each other host the program and the user's files.
func (r *run) sendFiles() bool {
	want := map[*session]int{}
	for _, s := range r.holders {
		if s.local {
			continue
		}
		for _, f := range r.program.files {
			s.file(f.path, f.name, f.mode, f.size)
			want[s]++
		}
		if path := r.built[s.system]; path != "" {
			info, err := os.Stat(path)
			if err != nil {
				r.fail(err)
				return false
			}
			s.file(path, r.program.build.name, "700", info.Size())
			want[s]++
		}
	}
	return r.until(func() bool {
		for s, n := range want {
			if s.stored < n {
				return false
			}
		}
		return true
	}, 0, nil)
}

// copies is the directory of files on the host of a rank.
func (r *run) copies(s *session) string {
	for _, h := range r.holders {
		if h.host == s.host {
			return path.Join(h.dir, "files")
		}
	}
	return ""
}

// words are a rank's program and arguments, with the files as they are called there.
func (r *run) words(s *session) []string {
	words := slices.Clone(r.program.words)
	for i, w := range words {
		for _, f := range r.program.files {
			switch {
			case w != f.given:
			case s.local:
				words[i] = f.path
			default:
				words[i] = path.Join(r.copies(s), f.name)
			}
		}
	}
	switch {
	case r.program.build == nil:
	case s.local:
		words[0] = r.built[s.system]
	default:
		words[0] = path.Join(r.copies(s), r.program.build.name)
	}
	return words
}

// rankCode is what the agent does to start a rank.
func (r *run) rankCode(s *session) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	words := r.words(s)
	line("cat >\"$mlx_dir/hostfile\" <<'MLX'\n%s\nMLX", ringHosts(r.ranks))
	line("(umask 077 && cat >\"$mlx_dir/secret\") <<'MLX'\n%s\nMLX", r.secret)
	copies := quote(r.copies(s))
	if s.local && len(r.program.files) > 0 {
		copies = `"$mlx_dir/files"`
		line("mkdir %s", copies)
		for _, f := range r.program.files {
			line("ln -s %s %s/%s", quote(f.path), copies, quote(f.name))
		}
	}
	line("mlx_exec() {")
	if r.options.Dir != "" {
		line("cd %s 2>/dev/null || { mlx_say nodir; exit 1; }", quote(here(r.options.Dir)))
	} else {
		line("cd %s 2>/dev/null || true", quote(r.dir))
	}
	var late []string
	for _, env := range r.env() {
		name, value, _ := strings.Cut(env, "=")
		if shellOwn(name) {
			late = append(late, env)
			continue
		}
		line("export %s=%s", name, quote(value))
	}
	line("export MLX_RANK=%d MLX_HOSTFILE=\"$mlx_dir/hostfile\" MLX_RING_SECRET_FILE=\"$mlx_dir/secret\"", s.rank)
	if len(r.program.files) > 0 {
		line("export MLX_COPY_DIR=%s", copies)
	}
	line("mlx_check %s", quote(here(words[0])))
	if late != nil {
		words = slices.Concat([]string{"env"}, late, words)
	}
	line("mlx_start %s", quoteAll(words))
	line("}")
	input := 0
	if r.reads(s) {
		input = 1
	}
	line("mlx_run %d", input)
	return b.String()
}

// here is a path or name that no command takes for an option.
func here(p string) string {
	if strings.HasPrefix(p, "-") || strings.Contains(p, "/") && !strings.HasPrefix(p, "/") && !strings.HasPrefix(p, ".") {
		return "./" + p
	}
	return p
}

// env are the variables of all ranks.
func (j *Job) env() []string {
	env := slices.Clone(j.options.Env)
	if j.options.Verbose {
		env = append([]string{"MLX_RING_VERBOSE=1"}, env...)
	}
	return env
}

// shellOwn tells variables that shells set or refuse to set; the program gets them
// from env.
func shellOwn(name string) bool {
	if strings.HasPrefix(name, "mlx_") || strings.HasPrefix(name, "BASH") {
		return true
	}
	return slices.Contains(strings.Fields("_ IFS PWD OLDPWD SHLVL PPID UID EUID GROUPS RANDOM SRANDOM SECONDS EPOCHSECONDS EPOCHREALTIME LINENO "+
		"OPTIND OPTARG HISTCMD DIRSTACK FUNCNAME PIPESTATUS SHELLOPTS PS1 PS2 PS4 ENV COMP_WORDBREAKS"), name)
}
