#!/bin/bash
# All_sum of the ring backend and of Open MPI over loopback, in turn, two processes each:
#   scripts/bench-allsum.sh [rounds]
# prints medians of the rounds (7) and ratios. Needs mpicc and mpirun (openmpi-bin,
# libopenmpi-dev), bash and awk.
set -euo pipefail
cd "$(dirname "$0")/.."
turns=${1:-7}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mpicc -O3 -o "$dir/allsum" scripts/bench-allsum/allsum.c
go test -c -o "$dir/ring.test" ./internal/distributed/ring
echo '[["127.0.0.1:32323"], ["127.0.0.1:32324"]]' >"$dir/hosts.json"

ring() { # bytes rounds
	MLX_RING_BENCH="$1 $2" MLX_HOSTFILE=$dir/hosts.json MLX_RANK=1 "$dir/ring.test" -test.run '^TestAllSumProcess$' >/dev/null 2>&1 &
	MLX_RING_BENCH="$1 $2" MLX_HOSTFILE=$dir/hosts.json MLX_RANK=0 "$dir/ring.test" -test.run '^TestAllSumProcess$' 2>/dev/null | awk '/^seconds/ { print $2 }'
	wait
}

mpi() { # btl bytes rounds
	mpirun --allow-run-as-root -n 2 --mca btl "$1" "$dir/allsum" "$2" "$3" 2>/dev/null | awk '/^seconds/ { print $2 }'
}

median() { sort -g "$1" | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }

echo "| bytes | ring | Open MPI, TCP | Open MPI, shared memory | ring's speed / TCP's |"
echo "| --- | --- | --- | --- | --- |"
for pair in 4:20000 1024:20000 65536:4000 1048576:400 8388608:50 67108864:8; do
	bytes=${pair%:*} rounds=${pair#*:}
	rm -f "$dir"/*.txt
	for turn in $(seq "$turns"); do # who begins alternates
		[ $((turn % 2)) = 0 ] && ring "$bytes" "$rounds" >>"$dir/ring.txt"
		mpi tcp,self "$bytes" "$rounds" >>"$dir/tcp.txt"
		mpi vader,self "$bytes" "$rounds" >>"$dir/shm.txt"
		[ $((turn % 2)) = 1 ] && ring "$bytes" "$rounds" >>"$dir/ring.txt"
	done
	awk -v b="$bytes" -v r="$(median "$dir/ring.txt")" -v t="$(median "$dir/tcp.txt")" -v s="$(median "$dir/shm.txt")" '
		function show(x) { return b < 100000 ? sprintf("%.1f µs", x * 1e6) : sprintf("%.2f ms, %.2f GB/s", x * 1e3, b / x / 1e9) }
		BEGIN { printf "| %d | %s | %s | %s | %.2f |\n", b, show(r), show(t), show(s), t / r }'
done
