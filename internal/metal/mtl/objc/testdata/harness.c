// Runs encode_darwin.c on an encoder that prints the messages it gets, as package
// objcfake writes them. The tape's words come from standard input.

#include "../encode_darwin.c"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char encoder_object, encoder_class;

void *object_getClass(void *object) { return object == &encoder_object ? &encoder_class : NULL; }

void *sel_registerName(const char *name) { return (void *)name; }

static void begin(void *self, void *selector) {
	if (self != &encoder_object)
		abort();
	printf("MTLComputeCommandEncoder %s", (const char *)selector);
}

static void set_pipeline(void *self, void *selector, void *pipeline) {
	begin(self, selector);
	printf(" @%" PRIuPTR "\n", (uintptr_t)pipeline);
}

static void set_buffer(void *self, void *selector, void *buffer, uint64_t offset, uint64_t index) {
	begin(self, selector);
	printf(" @%" PRIuPTR " %" PRIu64 " %" PRIu64 "\n", (uintptr_t)buffer, offset, index);
}

static void set_bytes(void *self, void *selector, const void *bytes, uint64_t length, uint64_t index) {
	begin(self, selector);
	printf(" ^ %" PRIu64 " %" PRIu64 "\nbytes ", length, index);
	for (uint64_t i = 0; i < length; i++)
		printf("%02x", ((const unsigned char *)bytes)[i]);
	printf("\n");
}

static void set_memory(void *self, void *selector, uint64_t length, uint64_t index) {
	begin(self, selector);
	printf(" %" PRIu64 " %" PRIu64 "\n", length, index);
}

static void print_size(mtl_size s) { printf(" {%" PRIu64 " %" PRIu64 " %" PRIu64 "}", s.width, s.height, s.depth); }

static void dispatch(void *self, void *selector, mtl_size threads, mtl_size group) {
	begin(self, selector);
	print_size(threads);
	print_size(group);
	printf("\n");
}

static void barrier(void *self, void *selector, uint64_t scope) {
	begin(self, selector);
	printf(" %" PRIu64 "\n", scope);
}

void (*class_getMethodImplementation(void *class, void *selector))(void) {
	static const struct {
		const char *name;
		void (*method)(void);
	} methods[] = {
		{"setComputePipelineState:", (void (*)(void))set_pipeline},
		{"setBuffer:offset:atIndex:", (void (*)(void))set_buffer},
		{"setBytes:length:atIndex:", (void (*)(void))set_bytes},
		{"setThreadgroupMemoryLength:atIndex:", (void (*)(void))set_memory},
		{"dispatchThreads:threadsPerThreadgroup:", (void (*)(void))dispatch},
		{"memoryBarrierWithScope:", (void (*)(void))barrier},
	};
	if (class == &encoder_class)
		for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
			if (strcmp(methods[i].name, selector) == 0)
				return methods[i].method;
	abort();
}

int main(void) {
	uint64_t *tape = NULL, words = 0, word;

	while (scanf("%" SCNu64, &word) == 1) {
		tape = realloc(tape, (words + 1) * sizeof *tape); // exact, so that reading on is seen
		tape[words++] = word;
	}
	mlx_encode(&encoder_object, tape, words);
	free(tape);
	return 0;
}
