// Encodes a tape of dispatches (tape.go has its format) with plain C: no Objective-C and
// none of Apple's headers, so that any clang can check it and a test can run it anywhere.
// Methods are looked up once a tape, in the encoder's own class: the tools that validate
// and capture have classes of their own.

#include "encode_darwin.h"

extern void *object_getClass(void *object);
extern void *sel_registerName(const char *name);
extern void (*class_getMethodImplementation(void *class, void *selector))(void);

typedef struct {
	uint64_t width, height, depth;
} mtl_size;

enum { OP_RUN = 1, OP_BARRIER = 2 };
enum { ARG_NONE = 0, ARG_BUFFER = 1, ARG_BYTES = 2 };
enum { RUN_WORDS = 10, SCOPE_BUFFERS = 1 };

typedef struct {
	void *object;

	void *set_pipeline_name, *set_buffer_name, *set_bytes_name, *set_memory_name, *dispatch_name, *barrier_name;

	void (*set_pipeline)(void *, void *, void *);
	void (*set_buffer)(void *, void *, void *, uint64_t offset, uint64_t index);
	void (*set_bytes)(void *, void *, const void *, uint64_t length, uint64_t index);
	void (*set_memory)(void *, void *, uint64_t length, uint64_t index);
	void (*dispatch)(void *, void *, mtl_size threads, mtl_size group);
	void (*barrier)(void *, void *, uint64_t scope);
} encoder_methods;

static void find_methods(encoder_methods *e, void *encoder) {
	void *class = object_getClass(encoder);

	e->object = encoder;
	e->set_pipeline_name = sel_registerName("setComputePipelineState:");
	e->set_buffer_name = sel_registerName("setBuffer:offset:atIndex:");
	e->set_bytes_name = sel_registerName("setBytes:length:atIndex:");
	e->set_memory_name = sel_registerName("setThreadgroupMemoryLength:atIndex:");
	e->dispatch_name = sel_registerName("dispatchThreads:threadsPerThreadgroup:");
	e->barrier_name = sel_registerName("memoryBarrierWithScope:");

	e->set_pipeline = (void (*)(void *, void *, void *))class_getMethodImplementation(class, e->set_pipeline_name);
	e->set_buffer = (void (*)(void *, void *, void *, uint64_t, uint64_t))class_getMethodImplementation(class, e->set_buffer_name);
	e->set_bytes = (void (*)(void *, void *, const void *, uint64_t, uint64_t))class_getMethodImplementation(class, e->set_bytes_name);
	e->set_memory = (void (*)(void *, void *, uint64_t, uint64_t))class_getMethodImplementation(class, e->set_memory_name);
	e->dispatch = (void (*)(void *, void *, mtl_size, mtl_size))class_getMethodImplementation(class, e->dispatch_name);
	e->barrier = (void (*)(void *, void *, uint64_t))class_getMethodImplementation(class, e->barrier_name);
}

static void *pointer(uint64_t word) { return (void *)(uintptr_t)word; }

// bind_argument binds the argument at w to an index and gives what follows it.
static const uint64_t *bind_argument(const encoder_methods *e, const uint64_t *w, uint64_t index) {
	switch (w[0]) {
	case ARG_BUFFER:
		e->set_buffer(e->object, e->set_buffer_name, pointer(w[1]), w[2], index);
		return w + 3;
	case ARG_BYTES:
		e->set_bytes(e->object, e->set_bytes_name, w + 2, w[1], index);
		return w + 2 + (w[1] + 7) / 8;
	default:
		return w + 1;
	}
}

void mlx_encode(void *encoder, const uint64_t *tape, uint64_t words) {
	encoder_methods e;
	const uint64_t *w = tape, *end = tape + words;
	uint64_t bound = 0; // the pipeline set last

	find_methods(&e, encoder);
	while (w < end) {
		const uint64_t *run = w;
		uint64_t i;

		if (w[0] == OP_BARRIER) {
			e.barrier(e.object, e.barrier_name, SCOPE_BUFFERS);
			w++;
			continue;
		}
		if (run[1] != bound) {
			bound = run[1];
			e.set_pipeline(e.object, e.set_pipeline_name, pointer(bound));
		}
		w += RUN_WORDS;
		for (i = 0; i < run[2]; i++)
			w = bind_argument(&e, w, i);
		for (i = 0; i < run[3]; i++)
			e.set_memory(e.object, e.set_memory_name, *w++, i);
		e.dispatch(e.object, e.dispatch_name, (mtl_size){run[4], run[5], run[6]}, (mtl_size){run[7], run[8], run[9]});
	}
}
