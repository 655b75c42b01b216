#!/usr/bin/env bash
# Compares a training step of mlx lora with one of PyTorch on this machine: rank 8 on all
# linear layers of Llama-3.2-1B's shape, one row of 512 tokens, random weights. mlx trains
# over 4-bit weights, PyTorch over bfloat16 ones of the same shape (they would be
# dequantized).
#
#   scripts/bench-lora.sh [options]
#     --threads N      of both (default 2)
#     --rounds N       both programs run once in each (default 3)
#     --steps N        training steps of a run; the first is not counted (default 4)
#     --checkpoint     layers are computed again in the way back, in both
#     --dir DIR        where the model and mlx are, or are put, and stay
#
# Needs Go and Python with torch (Debian's python3-torch), and 8 GB of memory. Prints one
# line for each run: tokens/s of its steps and the greatest resident memory.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }
fail() { echo "bench-lora: $*" >&2; exit 2; }

threads=2 rounds=3 steps=4 checkpoint=0 dir=''
while [ $# -gt 0 ]; do
	case $1 in
	--threads | --rounds | --steps | --dir)
		[ $# -ge 2 ] || fail "$1 needs a value"
		printf -v "${1#--}" %s "$2"
		shift 2
		;;
	--checkpoint) checkpoint=1; shift ;;
	--help | -h) usage; exit ;;
	*) fail "unknown option $1 (--help shows them)" ;;
	esac
done
for n in "$threads" "$rounds" "$steps"; do
	[[ $n =~ ^[1-9][0-9]*$ ]] || fail "$n is not a number above 0"
done
python=${PYTHON:-/usr/bin/python3}
"$python" -c 'import torch' 2>/dev/null || fail "$python has no torch: install python3-torch, or set PYTHON"
if [ -n "$dir" ]; then
	mkdir -p "$dir"
	dir=$(cd "$dir" && pwd)
else
	dir=$(mktemp -d "${TMPDIR:-/tmp}/mlx-bench-lora.XXXXXX")
	trap 'rm -rf "$dir"' EXIT
fi

cd "$here/.."
go build -o "$dir/mlx" ./cmd/mlx
if [ ! -d "$dir/model" ]; then
	rm -rf "$dir/model.part"
	go run ./internal/llm/llmtest/randommodel -shape llama1b -bits 4 -mlx "$dir/model.part"
	mv "$dir/model.part" "$dir/model"
fi
mkdir -p "$dir/data"
for i in 1 2 3 4 5 6 7 8; do # each row is cut at 513 tokens
	printf '{"text": "%s"}\n' "$(seq -s ' ' "${i}000" "${i}700")"
done >"$dir/data/train.jsonl"

more=()
[ $checkpoint = 0 ] || more=(--grad-checkpoint)
for round in $(seq "$rounds"); do
	rm -rf "$dir/adapter"
	"$dir/mlx" lora --model "$dir/model" --train --data "$dir/data" --num-layers 16 --batch-size 1 --iters "$steps" --steps-per-report 1 \
		--max-seq-length 513 --threads "$threads" --adapter-path "$dir/adapter" "${more[@]}" 2>/dev/null |
		awk -v r="$round" '/Train loss/ { if (n++) { split($0, a, "Tokens/sec "); sub(/,.*/, "", a[2]); s = s " " a[2] } p = $(NF - 1) } END { print "round " r ": mlx" s " tokens/s, peak of arrays " p " GB" }'
	"$python" "$here/bench-lora/peer.py" "$threads" 512 "$steps" "$checkpoint" |
		awk -v r="$round" '/ step / { if (n++) s = s " " $(NF - 1) } /peak/ { p = $3 } END { print "round " r ": torch" s " tokens/s, resident " p " GB" }'
done
