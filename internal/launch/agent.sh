# What runs on a host beside the program. It speaks with the launcher over its standard
# input (lines, and files of a told size) and by marked lines in its standard error, so
# that both outputs carry the program's own bytes. The launcher set mlx_token, the secret
# mark, mlx_limit, the seconds of silence after which the launcher is gone (0: the end of
# the input tells), mlx_every, the seconds between signs of life, and mlx_grace, the tenths
# of a second between TERM and KILL. POSIX sh: dash, bash 3.2 and busybox run it.
#
# This shell (mlx_main) waits for the program. Beside it run mlx_watch, mlx_beat, mlx_read
# and mlx_feed. Descriptors: 5 input, 6 output, 7 error.

mlx_say() { printf '\001%s %s\n' "$mlx_token" "$*" >&7; }

# mlx_lines prints the lines until the mark.
mlx_lines() { while IFS= read -r mlx_l <&5 && [ "$mlx_l" != "$mlx_token" ]; do printf '%s\n' "$mlx_l"; done; }

# mlx_tick sleeps; whoever ends the loop that calls it ends the sleep too.
mlx_tick() {
	sleep "$1" 5<&- 6>&- 7>&- &
	mlx_s=$!
	wait "$mlx_s"
}

# mlx_pause sleeps a tenth of a second and counts in mlx_n; POSIX knows whole ones only.
mlx_pause() {
	if sleep 0.1; then mlx_n=$((mlx_n + 1)); else sleep 1; mlx_n=$((mlx_n + 10)); fi
}

# mlx_signal NAME sends a signal to the program and its children.
mlx_signal() {
	read -r mlx_p <"$mlx_dir/pid" && kill -"$1" -"$mlx_p"
}

# mlx_stop TENTHS ends them: TERM, after some tenths of a second KILL.
mlx_stop() {
	mlx_signal TERM || return 0
	mlx_n=0
	while [ "$mlx_n" -lt "$1" ] && mlx_signal 0; do mlx_pause; done
	mlx_signal KILL
}

# mlx_watch ends all when the launcher is silent or mlx_main was killed.
mlx_watch() {
	trap 'kill "$mlx_s"; exit' TERM
	mlx_quiet=0
	while kill -0 "$mlx_main"; do
		mlx_tick 1
		if [ -e "$mlx_dir/alive" ]; then
			rm -f "$mlx_dir/alive"
			mlx_quiet=0
		fi
		mlx_quiet=$((mlx_quiet + 1))
		[ "$mlx_limit" -eq 0 ] || [ "$mlx_quiet" -lt "$mlx_limit" ] || break
	done
	mlx_stop "$mlx_grace"
	mlx_n=0
	while [ "$mlx_n" -lt 10 ] && kill -0 "$mlx_main"; do mlx_pause; done
	kill -KILL "$mlx_main" # perhaps in the middle of a write that nobody reads
	kill $(cat "$mlx_dir/helpers")
	mlx_remove
}

# mlx_beat tells the launcher that the host is there.
mlx_beat() {
	trap 'kill "$mlx_s"; exit' TERM
	while mlx_tick "$mlx_every"; do mlx_say h; done
}

# mlx_read obeys the launcher while the program runs.
mlx_read() {
	trap '' PIPE
	[ "$1" = 0 ] || exec 8>"$mlx_dir/frames"
	while IFS= read -r mlx_l <&5; do
		case $mlx_l in
		h) true >"$mlx_dir/alive" ;;
		d*) printf '%s\n' "$mlx_l" >&8 ;;
		e) exec 8>&- ;;
		k*)
			mlx_n=0
			while [ "$mlx_n" -lt 10 ] && [ ! -s "$mlx_dir/pid" ]; do mlx_pause; done
			mlx_signal "${mlx_l#k}"
			;;
		esac
	done
	while [ -d "$mlx_dir" ] && [ ! -s "$mlx_dir/pid" ]; do mlx_pause; done
	mlx_stop "$mlx_grace"
}

# mlx_feed writes the program's standard input; the launcher sends no more than a few
# lines that were not acknowledged, so mlx_read never waits.
mlx_feed() {
	trap '' PIPE
	while IFS= read -r mlx_l; do
		printf %b "${mlx_l#d}" || break
		mlx_say a
	done
	mlx_say c
}

# mlx_file SIZE MODE NAME takes a file from the input: dd with count=1 reads what is
# there, never more than is asked for.
mlx_file() {
	mkdir -p "$mlx_dir/files"
	mlx_path=$mlx_dir/files/$3
	mlx_left=$1
	(umask 077 && true >"$mlx_path") || mlx_fail "cannot write $mlx_path"
	while [ "$mlx_left" -gt 0 ]; do
		mlx_n=65536
		[ "$mlx_left" -ge "$mlx_n" ] || mlx_n=$mlx_left
		dd bs="$mlx_n" count=1 <&5 >>"$mlx_path" || mlx_fail "cannot write $mlx_path: is the disk full?"
		mlx_n=$(($1 - $(wc -c <"$mlx_path")))
		[ "$mlx_n" -lt "$mlx_left" ] || mlx_quit
		mlx_left=$mlx_n
		true >"$mlx_dir/alive"
	done
	chmod "$2" "$mlx_path"
	mlx_say stored
}

mlx_fail() {
	mlx_say "fail $*"
	mlx_quit
}

# mlx_remove removes the directory; somebody may make a file there at the same time.
mlx_remove() {
	mlx_n=0
	while [ -d "$mlx_dir" ] && [ "$mlx_n" -lt 50 ]; do
		rm -rf "$mlx_dir" || mlx_pause
	done
}

mlx_quit() {
	mlx_remove
	mlx_say done
	kill "$mlx_watcher" $mlx_helpers
	exit 0
}

# mlx_run STDIN runs mlx_exec, which the launcher defined; STDIN is 1 if the program
# reads what the launcher sends. The program is the foreground job of this shell: in the
# background it would ignore interrupts.
mlx_run() {
	mlx_in=/dev/null
	mlx_setsid=$(command -v setsid) || {
		set -m
		case $- in *m*) ;; *) mlx_fail "there is no setsid, and sh has no job control" ;; esac
	}
	trap - TERM
	if [ "$1" = 1 ]; then
		mlx_in=$mlx_dir/stdin
		mkfifo "$mlx_in" "$mlx_dir/frames" || mlx_fail "cannot make a pipe in $mlx_dir"
		mlx_feed <"$mlx_dir/frames" >"$mlx_in" 5<&- 6>&- &
		mlx_helpers="$mlx_helpers $!"
	fi
	mlx_read "$1" 6>&- 7>&- &
	mlx_helpers="$mlx_helpers $!"
	mlx_trap
	printf '%s\n' "$mlx_helpers" >"$mlx_dir/helpers"
	exec 5<&-
	(mlx_exec) <"$mlx_in" >&6 2>&7 6>&-
	mlx_status=$?
	mlx_say "exit $mlx_status"
	[ "$mlx_status" -ne 137 ] || mlx_grace=0 # it had its time
	mlx_stop "$((mlx_grace / 6))"           # children that outlive it
	mlx_quit
}

# mlx_check PROGRAM ends the start where the program is missing.
mlx_check() {
	command -v "$1" >/dev/null || {
		mlx_say missing
		exit 127
	}
}

# mlx_start ARGUMENTS becomes the program, in a process group of its own.
mlx_start() {
	mlx_say run
	exec $mlx_setsid /bin/sh -c 'echo $$ >"$0" && exec "$@"' "$mlx_dir/pid" "$@" 7>&-
}

# mlx_trap catches signals; ignored ones the program would inherit. Helpers are started
# without it: for a moment they would have the trap too, and not end when they are told.
mlx_trap() { trap : HUP INT TERM PIPE; }

mlx_begin() {
	exec 5<&0 6>&1 7>&2 </dev/null >/dev/null 2>&1
	mlx_main=$$
	mlx_dir=$(mktemp -d "${TMPDIR:-/tmp}/mlx-launch.XXXXXX") || {
		mlx_say "fail cannot make a directory in ${TMPDIR:-/tmp}"
		exit 1
	}
	mlx_watch 5<&- 6>&- 7>&- &
	mlx_watcher=$!
	mlx_helpers=
	if [ "$mlx_limit" -gt 0 ]; then
		mlx_beat 5<&- 6>&- &
		mlx_helpers=$!
		printf '%s\n' "$mlx_helpers" >"$mlx_dir/helpers"
	fi
	mlx_trap
	printf '\001%s o\n' "$mlx_token" >&6
	mlx_say "hello $(uname -s) $(uname -m) $mlx_dir"
	while IFS= read -r mlx_l <&5; do
		case $mlx_l in
		h) true >"$mlx_dir/alive" ;;
		x) eval "$(mlx_lines)" ;;
		*) break ;;
		esac
	done
	mlx_quit
}
