// run.cpp: runs one dispatch in a process of its own, for builds with a sanitizer:
//
//   run KERNEL gx gy gz tx ty tz order seed workers LENGTHS FILE...
//
// LENGTHS are those of threadgroup memory, as 64,128, or -. A FILE is a buffer, read and
// written back, from an offset on: OFFSET:PATH; - is none. One path is one buffer however
// often it is named. Buffers are allocated at their exact size, so that AddressSanitizer
// sees every access past an end.
#include "launch.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef MSL_MSAN
extern "C" long __msan_test_shadow(const volatile void*, size_t);
extern "C" void __msan_unpoison(const volatile void*, size_t);
#endif

extern "C" const msl_kernel msl_kernels[];
extern "C" void msl_dispatch(void (*run)(), const msl_launch*, msl_report*);

namespace {

constexpr int max_buffers = 31;

struct Buffer {
  const char* path;
  char* data;
  long size;
};

Buffer buffers[max_buffers];
int buffer_count;

Buffer& read(const char* path) {
  for (int i = 0; i < buffer_count; i++)
    if (!strcmp(buffers[i].path, path)) return buffers[i];
  Buffer& b = buffers[buffer_count++];
  b.path = path;
  FILE* f = fopen(path, "rb");
  if (!f) {
    perror(path);
    exit(2);
  }
  fseek(f, 0, SEEK_END);
  b.size = ftell(f);
  rewind(f);
  b.data = (char*)malloc(b.size);
  if (fread(b.data, 1, b.size, f) != (size_t)b.size) exit(2);
  fclose(f);
  return b;
}

bool write(const Buffer& b) {
  bool ok = true;
#ifdef MSL_MSAN
  long at = __msan_test_shadow(b.data, b.size);
  if (at >= 0) fprintf(stderr, "undefined value in buffer %s at byte %ld\n", b.path, at);
  ok = at < 0;
  __msan_unpoison(b.data, b.size);
#endif
  FILE* f = fopen(b.path, "wb");
  if (!f || fwrite(b.data, 1, b.size, f) != (size_t)b.size || fclose(f)) exit(2);
  return ok;
}

const msl_kernel* find(const char* name) {
  for (const msl_kernel* k = msl_kernels; k->name; k++)
    if (!strcmp(k->name, name)) return k;
  fprintf(stderr, "there is no kernel %s\n", name);
  exit(2);
}

} // namespace

// It exits with 2 when it cannot run, 4 when something was undefined, or as the sanitizer does.
int main(int argc, char** argv) {
  if (argc < 12 || argc > 12 + max_buffers) return 2;
  unsigned n[9];
  for (int i = 0; i < 9; i++) n[i] = (unsigned)strtoul(argv[2 + i], nullptr, 10);
  unsigned long lengths[8];
  int length_count = 0;
  for (char* s = argv[11]; *s && *s != '-' && length_count < 8; s += *s == ',') lengths[length_count++] = strtoul(s, &s, 10);

  void* pointers[max_buffers] = {};
  for (int i = 12; i < argc; i++) {
    if (!strcmp(argv[i], "-")) continue;
    char* path;
    long offset = strtol(argv[i], &path, 10);
    pointers[i - 12] = read(path + 1).data + offset;
  }
  msl_launch l = {pointers, lengths, length_count, {n[0], n[1], n[2]}, {n[3], n[4], n[5]}, (int)n[8], n[6], n[7]};
  msl_report r;
  msl_dispatch(find(argv[1])->run, &l, &r);

  bool defined = true;
  for (int i = 0; i < buffer_count; i++) defined &= write(buffers[i]);
  printf("%lu %lu %lu %lu %lu %lu %lu %lu %lu %d %s\n", r.threads, r.groups, r.switches, r.barriers, r.collectives,
         r.divergent_barriers, r.divergent_collectives, r.incomplete_matrices, r.threadgroup_bytes, r.line,
         r.file ? r.file : "-");
  return defined ? 0 : 4;
}
