// fiber.h: switching between stacks.
#pragma once
#include <stdint.h>
#include <string.h>

// fiber_switch stores the state of the running fiber, its stack pointer in *save, and
// continues at load. fiber_make prepares a stack that starts at f, which never returns.

#if defined(__x86_64__)
// It is inlined, and left by jmp rather than ret: the processor's return stack stays
// balanced when all lanes are at one call, which is the common case. Registers are saved
// by the compiler, which takes all of them as overwritten.
static inline __attribute__((always_inline)) void fiber_switch(void** save, void* load) {
  asm volatile(
      "lea -128(%%rsp), %%rsp\n" // the red zone
      "push %%rbp\n"
      "lea 1f(%%rip), %%rcx\n"
      "push %%rcx\n"
      "mov %%rsp, (%%rdi)\n"
      "mov %%rsi, %%rsp\n"
      "pop %%rcx\n"
      "pop %%rbp\n"
      "lea 128(%%rsp), %%rsp\n"
      "jmp *%%rcx\n"
      "1:\n"
      : "+D"(save), "+S"(load)
      :
      : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc", //
        "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
        "xmm12", "xmm13", "xmm14", "xmm15");
}

static void* fiber_make(char* top, void (*f)()) { // as if f had been called: rsp is 8 mod 16
  void** p = (void**)((uintptr_t)top & ~15ul);
  *--p = nullptr; // no return address
  p = (void**)((char*)p - 128);
  *--p = nullptr; // rbp
  *--p = (void*)f;
  return p;
}

#elif defined(__aarch64__)
extern "C" void fiber_switch(void** save, void* load);
asm(".text\n"
    ".globl fiber_switch\n"
    ".hidden fiber_switch\n"
    "fiber_switch:\n"
    "  sub sp, sp, #160\n"
    "  stp x19, x20, [sp]\n"
    "  stp x21, x22, [sp, #16]\n"
    "  stp x23, x24, [sp, #32]\n"
    "  stp x25, x26, [sp, #48]\n"
    "  stp x27, x28, [sp, #64]\n"
    "  stp x29, x30, [sp, #80]\n"
    "  stp d8, d9, [sp, #96]\n"
    "  stp d10, d11, [sp, #112]\n"
    "  stp d12, d13, [sp, #128]\n"
    "  stp d14, d15, [sp, #144]\n"
    "  mov x9, sp\n"
    "  str x9, [x0]\n"
    "  mov sp, x1\n"
    "  ldp x19, x20, [sp]\n"
    "  ldp x21, x22, [sp, #16]\n"
    "  ldp x23, x24, [sp, #32]\n"
    "  ldp x25, x26, [sp, #48]\n"
    "  ldp x27, x28, [sp, #64]\n"
    "  ldp x29, x30, [sp, #80]\n"
    "  ldp d8, d9, [sp, #96]\n"
    "  ldp d10, d11, [sp, #112]\n"
    "  ldp d12, d13, [sp, #128]\n"
    "  ldp d14, d15, [sp, #144]\n"
    "  add sp, sp, #160\n"
    "  ret\n");

static void* fiber_make(char* top, void (*f)()) {
  void** p = (void**)((uintptr_t)top & ~15ul) - 20;
  memset(p, 0, 160);
  p[11] = (void*)f; // x30
  return p;
}

#else
#error "no fibers on this processor: x86-64 and arm64 are known"
#endif
