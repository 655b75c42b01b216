#!/usr/bin/env bash
# Compares a float32 product of 1024 x 1024 x 1024 with OpenBLAS on this machine, one
# thread each, by CPU time, in turn.
#
#   scripts/bench-openblas.sh [rounds]     (default 3)
#
# OpenBLAS is Debian's package, unpacked into a scratch directory that is removed at the
# end. Needs Go, a C compiler, apt-get and dpkg.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
rounds=${1:-3}
[[ $rounds =~ ^[1-9][0-9]*$ ]] || { echo "bench-openblas: $rounds is not a number above 0" >&2; exit 2; }
for tool in go cc apt-get dpkg; do
	command -v $tool >/dev/null || { echo "bench-openblas: $tool is not installed" >&2; exit 2; }
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get -qq download libopenblas0-pthread libgfortran5 libquadmath0 2>/dev/null
for d in *.deb; do dpkg -x "$d" .; done
blas=$(find "$dir" -name libopenblas.so.0 | head -n 1)
lib=$(dirname "$(find "$dir" -name libgfortran.so.5 | head -n 1)")
[ -n "$blas" ] && [ -n "$lib" ] || { echo "bench-openblas: no OpenBLAS in the packages" >&2; exit 1; }
export LD_LIBRARY_PATH=$lib:$(dirname "$blas")
cc -O2 -o sgemm "$here/bench-openblas/sgemm.c" "$blas"
(cd "$here/.." && go test -c -o "$dir/cpu.test" ./internal/cpu)
for ((i = 0; i < rounds; i++)); do
	./sgemm 15
	./cpu.test -test.run '^$' -test.bench 'Matmul$' -test.benchtime 15x | grep '^Benchmark'
done
