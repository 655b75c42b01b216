// Times C = A·B of float32, 1024 x 1024 x 1024, by OpenBLAS on one thread: prints the
// median and the least thread CPU time in milliseconds of argv[1] rounds.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
		 const float *b, int ldb, float beta, float *c, int ldc);
void openblas_set_num_threads(int n);
char *openblas_get_config(void);

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int less(const void *x, const void *y) {
	double d = *(const double *)x - *(const double *)y;
	return d < 0 ? -1 : d > 0;
}

int main(int argc, char **argv) {
	enum { N = 1024 };
	int rounds = argc > 1 ? atoi(argv[1]) : 15;
	float *a = malloc(4 * N * N), *b = malloc(4 * N * N), *c = malloc(4 * N * N);
	double *took = malloc(rounds * sizeof *took);
	for (int i = 0; i < N * N; i++) {
		a[i] = (float)(i * 7 % 13 - 6);
		b[i] = (float)(i * 5 % 11 - 5);
	}
	openblas_set_num_threads(1);
	for (int r = -2; r < rounds; r++) {
		double t = now();
		cblas_sgemm(101, 111, 111, N, N, N, 1, a, N, b, N, 0, c, N);
		if (r >= 0)
			took[r] = now() - t;
	}
	qsort(took, rounds, sizeof *took, less);
	printf("%s: %.2f ms median, %.2f least\n", openblas_get_config(), took[rounds / 2], took[0]);
	return 0;
}
