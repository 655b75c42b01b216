#!/usr/bin/env bash
# Compares mlx with llama.cpp on this machine, on random models of equal bytes.
#
#   scripts/bench-llama.sh [options]
#     --shape NAME       llama1b (default), qwen06 or story10m
#     --bits LIST        4 and 8, with a comma between them (default 4)
#     --threads LIST     numbers of threads (default 1,2)
#     --rounds N         both programs run once in each (default 7)
#     --prompt N         tokens of the prefill (default 512)
#     --context N        tokens before the second decode, 0 leaves it out (default 2048)
#     --generation N     decode steps (default 64)
#     --limits           mlx measures the machine's limits too, in each round
#     --json FILE        append the figures of each round, a line of JSON each
#     --dir DIR          where models and llama.cpp are, or are put, and stay
#     --keep             keep the scratch directory, and say where it is
#
# llama.cpp is the prebuilt one of the npm package node-llama-cpp, which picks the code
# for this CPU by itself, driven by a small C program: through JavaScript a token costs
# milliseconds more. Needs Go, Node 20, npm, git, a C compiler and, for llama1b, 1.6 GB
# of disk for 4 bits and 2.8 GB for 8. Nothing is installed outside the scratch directory, which is
# removed at the end. Run it on a machine that does nothing else: llama.cpp's threads
# spin, and lose most when they must share.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }
fail() { echo "bench-llama: $*" >&2; exit 2; }

shape=llama1b bits=4 threads=1,2 rounds=7 prompt=512 context=2048 generation=64 limits=false json='' dir='' keep=
while [ $# -gt 0 ]; do
	case $1 in
	--shape | --bits | --threads | --rounds | --prompt | --context | --generation | --json | --dir)
		[ $# -ge 2 ] || fail "$1 needs a value"
		printf -v "${1#--}" %s "$2"
		shift 2
		;;
	--limits) limits=true; shift ;;
	--keep) keep=1; shift ;;
	--help | -h) usage; exit ;;
	*) fail "unknown option $1 (--help shows them)" ;;
	esac
done
case $shape in
llama1b | qwen06 | story10m) ;;
*) fail "--shape $shape: there are llama1b, qwen06 and story10m" ;;
esac
for n in "$rounds" "$prompt" "$generation" ${threads//,/ }; do
	[[ $n =~ ^[1-9][0-9]*$ ]] || fail "$n is not a number above 0"
done
[[ $context =~ ^[0-9]+$ ]] || fail "--context $context is not a number"
for b in ${bits//,/ }; do
	case $b in 4 | 8) ;; *) fail "--bits $b: there are 4 and 8" ;; esac
done
for tool in go node npm git cc; do
	command -v $tool >/dev/null || fail "$tool is not installed"
done
[ "$rounds" -ge 7 ] || echo "bench-llama: fewer than 7 rounds: the ranges say little" >&2

[ -z "$json" ] || json=$(realpath -m "$json")
if [ -n "$dir" ]; then
	mkdir -p "$dir"
	dir=$(cd "$dir" && pwd)
else
	dir=$(mktemp -d "${TMPDIR:-/tmp}/mlx-bench-llama.XXXXXX")
	if [ -n "$keep" ]; then
		echo "bench-llama: --dir $dir uses this scratch directory again" >&2
	else
		trap 'rm -rf "$dir"' EXIT
	fi
fi

case $(uname -s)-$(uname -m) in
Linux-x86_64) platform=linux-x64 ;;
Linux-aarch64) platform=linux-arm64 ;;
Darwin-arm64) platform=mac-arm64-metal ;;
Darwin-x86_64) platform=mac-x64 ;;
*) fail "no prebuilt llama.cpp for $(uname -s) $(uname -m)" ;;
esac
peer=$dir/llama-cpp
version=3.22.1
if [ ! -d "$peer/node_modules/node-llama-cpp" ]; then
	mkdir -p "$peer"
	echo '{"private": true}' >"$peer/package.json"
	npm install --prefix "$peer" --prefer-offline --no-audit --no-fund --omit=optional --ignore-scripts --loglevel=error \
		"node-llama-cpp@$version" "@node-llama-cpp/$platform@$version" >&2
fi
if [ ! -d "$peer/headers" ]; then # of the version that the libraries are of
	rm -rf "$peer/headers.part"
	git -c advice.detachedHead=false clone -q "$peer/node_modules/node-llama-cpp/llama/gitRelease.bundle" "$peer/headers.part"
	mv "$peer/headers.part" "$peer/headers"
fi
libraries=$peer/node_modules/@node-llama-cpp/$platform/bins/$platform
link=("$libraries"/libllama.v* "$libraries"/libggml.v* "$libraries"/libggml-base.*)
cc -O2 -I "$peer/headers/include" -I "$peer/headers/ggml/include" "$here/bench-llama/peer.c" -o "$peer/peer" "${link[@]}" "-Wl,-rpath,$libraries"

# make writes a model by randommodel, and leaves no half one behind.
make() { # FLAG FILE SHAPE BITS
	[ -e "$2" ] && return
	rm -rf "$2.part"
	go run ./internal/llm/llmtest/randommodel -shape "$3" -bits "$4" "$1" "$2.part"
	mv "$2.part" "$2"
}

cd "$here/.."
go build -buildvcs=auto -o "$dir/mlx" ./cmd/mlx
for b in ${bits//,/ }; do
	model=$dir/$shape-mlx-${b}bit gguf=$dir/$shape-Q${b}_0.gguf
	make -mlx "$model" "$shape" "$b"
	make -gguf "$gguf" "$shape" "$b"
	cat "$model/model.safetensors" "$gguf" >/dev/null # into the page cache
	for t in ${threads//,/ }; do
		node "$here/bench-llama/compare.mjs" "$(printf '{"mlx": "%s", "peer": "%s", "libraries": "%s", "model": "%s", "gguf": "%s", "name": "%s", "threads": %d, "rounds": %d, "prompt": %d, "context": %d, "generation": %d, "limits": %s, "json": "%s"}' \
			"$dir/mlx" "$peer/peer" "$libraries" "$model" "$gguf" "$shape: MLX $b bits in groups of 64, llama.cpp Q${b}_0" "$t" "$rounds" "$prompt" "$context" "$generation" "$limits" "$json")"
	done
done
