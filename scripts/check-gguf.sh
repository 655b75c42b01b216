#!/usr/bin/env bash
# Checks that llama.cpp reads the GGUF files that mlx writes: that it has the same token
# ids and generates the same text, greedily, as mlx does from the same file.
#
#   scripts/check-gguf.sh [DIR]
#
# llama.cpp is the prebuilt one of the npm package node-llama-cpp. It is installed into
# DIR, if it is not there, else into a scratch directory that is removed at the end.
# Needs Go, Node 20, npm and 90 MB of disk. The built-in model is always written, the
# trained models of ../shared if they are there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for tool in go node npm; do
	command -v $tool >/dev/null || { echo "check-gguf: $tool is not installed" >&2; exit 2; }
done
dir=${1:-}
if [ -z "$dir" ]; then
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
fi
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
if [ ! -d "$dir/node_modules/node-llama-cpp" ]; then
	echo "installing node-llama-cpp into $dir"
	echo '{"private": true}' >"$dir/package.json"
	# Its optional packages are builds for GPUs and other machines: only this one's is needed.
	platform=$(node -p '`${process.platform === "darwin" ? "mac" : process.platform === "win32" ? "win" : "linux"}-${process.arch}${process.platform === "darwin" && process.arch === "arm64" ? "-metal" : ""}`')
	(cd "$dir" && npm install --silent --no-audit --no-fund --ignore-scripts --omit=optional node-llama-cpp@3.22.1 "@node-llama-cpp/$platform@3.22.1")
fi
cd "$here/.."
MLX_NODE_LLAMA_CPP=$dir go test ./internal/llm/convert -count=1 -run '^TestLlamaCpp$' -v
