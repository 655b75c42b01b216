// llama.cpp's half of bench-llama.sh, linked with its own libraries: one line of JSON.
//
//   peer LIBRARIES MODEL.gguf THREADS PROMPT CONTEXT GENERATION [first]
//
// The work is that of mlx benchmark: the time to the first token of a prompt, decode
// steps after a single token, both after CONTEXT tokens; greedy, with the same ids. With
// "first" it ends after the first token of a prompt of 16. LIBRARIES is the folder with
// the code for each kind of CPU; llama.cpp picks from it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ggml-backend.h"
#include "llama.h"

enum { BATCH = 512 };

static struct llama_context *ctx;
static int vocabulary;

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static void quiet(enum ggml_log_level level, const char *text, void *data) {
	(void)data;
	if (level >= GGML_LOG_LEVEL_ERROR && level != GGML_LOG_LEVEL_CONT) fputs(text, stderr);
}

static void check(int bad, const char *what) {
	if (bad) {
		fprintf(stderr, "peer: %s failed\n", what);
		exit(1);
	}
}

static llama_token likeliest(void) {
	const float *x = llama_get_logits_ith(ctx, -1);
	int best = 0;
	for (int i = 1; i < vocabulary; i++)
		if (x[i] > x[best]) best = i;
	return best;
}

// generate gives the seconds to the first token of a prompt of n and of the steps after it.
static void generate(int n, int steps, double *prefill, double *decode) {
	llama_token ids[BATCH];
	llama_memory_clear(llama_get_memory(ctx), true);
	double begin = now();
	for (int at = 0; at < n;) {
		int m = n - at < BATCH ? n - at : BATCH;
		for (int i = 0; i < m; i++) ids[i] = 300 + ((at + i) % 512) * 7919 % 1500;
		check(llama_decode(ctx, llama_batch_get_one(ids, m)), "llama_decode");
		at += m;
	}
	llama_token next = likeliest();
	double one = now();
	for (int i = 0; i < steps; i++) {
		check(llama_decode(ctx, llama_batch_get_one(&next, 1)), "llama_decode");
		next = likeliest();
	}
	*prefill = one - begin;
	*decode = now() - one;
}

static long resident(void) { // bytes
	char line[256];
	long kb = 0;
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "VmHWM: %ld kB", &kb) == 1) break;
	if (f) fclose(f);
	return kb * 1024;
}

int main(int argc, char **argv) {
	check(argc < 7, "reading the arguments");
	int threads = atoi(argv[3]), prompt = atoi(argv[4]), context = atoi(argv[5]), generation = atoi(argv[6]);
	int first = argc > 7 && !strcmp(argv[7], "first");
	double a, b;

	llama_log_set(quiet, NULL);
	ggml_backend_load_all_from_path(argv[1]);
	double start = now();
	struct llama_model_params mp = llama_model_default_params();
	mp.n_gpu_layers = 0;
	struct llama_model *model = llama_model_load_from_file(argv[2], mp);
	check(!model, "loading the model");
	vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
	struct llama_context_params cp = llama_context_default_params();
	cp.n_ctx = (prompt > context ? prompt : context) + generation + 64;
	cp.n_batch = cp.n_ubatch = BATCH;
	cp.n_threads = cp.n_threads_batch = threads;
	cp.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
	ctx = llama_init_from_model(model, cp);
	check(!ctx, "making a context");
	double loaded = now();
	generate(16, 0, &a, &b);
	printf("{\"load_s\": %.6f, \"first_token_s\": %.6f", loaded - start, now() - start);
	if (!first) {
		generate(1, 8, &a, &b); // warms up what the first prompt did not
		generate(prompt, 0, &a, &b);
		printf(", \"prefill_tps\": %.3f", prompt / a);
		generate(1, generation, &a, &b);
		printf(", \"decode_tps\": %.3f", generation / b);
		if (context > 0) {
			generate(context, generation, &a, &b);
			printf(", \"long_prefill_tps\": %.3f, \"long_decode_tps\": %.3f", context / a, generation / b);
		}
	}
	printf(", \"resident\": %ld}\n", resident());
	return 0;
}
