package launch

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// DryRun prints what Run would do, as commands for a shell: one for each rank. The
// secret is not in them; it is made when a job starts.
func (j *Job) DryRun(w io.Writer) error {
	var b strings.Builder
	ring := ringHosts(j.ranks)
	if g := j.program.build; g != nil {
		fmt.Fprintf(&b, "# %s is built for each kind of host and copied to it as $d/%s\n", j.options.Command[0], g.name)
	}
	for _, f := range j.program.files {
		fmt.Fprintf(&b, "# %s is copied to other hosts as $d/%s\n", quote(f.given), quote(f.name))
	}
	for _, k := range j.ranks {
		fmt.Fprintf(&b, "# rank %d on %s\n", k.number, k.host)
		line := []string{"/bin/sh", "-c", j.script(k, ring)}
		if !IsLocal(k.host) {
			line = SSHCommand(j.options.SSHArgs, j.options.Timeout, k.host, "exec "+quoteAll(line))
		}
		fmt.Fprintln(&b, quoteAll(line))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// script is what one rank does, without the launcher around it.
func (j *Job) script(k rank, ring string) string {
	var b strings.Builder
	if j.options.Dir != "" {
		fmt.Fprintf(&b, "cd %s && ", quote(here(j.options.Dir)))
	} else {
		fmt.Fprintf(&b, "cd %s; ", quote(j.dir))
	}
	fmt.Fprintf(&b, `d=$(mktemp -d) && printf %%s %s >"$d/hostfile" && env `, quote(ring))
	for _, env := range j.env() {
		name, value, _ := strings.Cut(env, "=")
		fmt.Fprintf(&b, "%s=%s ", name, quote(value))
	}
	fmt.Fprintf(&b, `MLX_RANK=%d MLX_HOSTFILE="$d/hostfile" `, k.number)
	for i, w := range j.program.words {
		file := slices.IndexFunc(j.program.files, func(f copyFile) bool { return f.given == w })
		switch {
		case i == 0 && j.program.build != nil:
			fmt.Fprintf(&b, `"$d"/%s `, quote(j.program.build.name))
		case file >= 0 && !IsLocal(k.host):
			fmt.Fprintf(&b, `"$d"/%s `, quote(j.program.files[file].name))
		default:
			b.WriteString(quote(w) + " ")
		}
	}
	b.WriteString(`; s=$?; rm -rf "$d"; exit $s`)
	return b.String()
}
