# Everything here is a plain go command; read it as a list of them.

.PHONY: build test check full metal-full metal-coverage fuzz bench update asm

build: # the program, without a C compiler
	CGO_ENABLED=0 go build -o mlx ./cmd/mlx

test:
	go test ./...

check: # what a change must pass
	.ci/run

full: # what does not fit into .ci/run; run it before a release
	go vet ./...
	MLX_FULL=1 go test -count=1 -timeout 60m ./...
	go test -count=1 -timeout 60m -tags invariants ./...
	go test -count=1 -timeout 120m -race ./...
	go test -run '^$$' -bench . -benchtime 1x ./...
	$(MAKE) metal-full
	FUZZTIME=1m .ci/run cross arm64 fuzz

metal-full: # the emulated GPU: all dtypes, sanitizers, the op table, models, training; needs clang 17 or newer
	MLX_FULL=1 go test -count=1 -timeout 120m -tags metalemu ./internal/metal/...
	MLX_FULL=1 MLX_DEVICE=metal-emu go test -count=1 -timeout 120m -tags metalemu ./internal/optest ./internal/doctor
	for s in asan tsan msan; do \
		MLX_METAL_SANITIZER=$$s MLX_DEVICE=metal-emu go test -count=1 -timeout 120m -tags metalemu ./internal/optest -run '^TestGolden$$' || exit 1; \
	done
	MLX_FULL=1 go test -count=1 -timeout 120m -tags metalemu ./internal/llm/models ./internal/llm/tune ./cmd/mlx -run "^TestMetal"

metal-coverage: # write docs/metal-coverage.md
	MLX_FULL=1 MLX_DEVICE=metal-emu go test -count=1 -timeout 120m -tags metalemu ./internal/optest -run "TestGolden|TestMetalCoverage" -update-coverage

fuzz: # each target for a minute; FUZZTIME=10m make fuzz for longer
	FUZZTIME=$${FUZZTIME:-1m} .ci/run fuzz

bench: # six runs, for benchstat; see docs/benchmarks.md
	go test -run '^$$' -bench . -count 6 ./internal/cpu/... ./internal/optest

update: # cut the goldens from ../shared again; see docs/goldens.md
	go test ./internal/optest -run TestGoldenFiles -update

asm: # write the assembly of internal/cpu/simd again; see docs/cpu-kernels.md
	internal/cpu/simd/gen/regen.sh
