/* runner.c -- the program that test_gen_formula.c links with emitted functions, for any target, without a C library: it copies operands from its
 * standard input, calls every function of formula_table, and writes the results to its standard output.
 *
 * Input:  the operand sets (RUNNER_SETS of them), then per function a Job.
 */
#include "runner.h"

typedef void Function(const void *a, const void *b, const void *c, void *out);
extern Function *const formula_table[];

static _Alignas(64) char sets[RUNNER_SETS][RUNNER_SET_BYTES], out[RUNNER_SET_BYTES];

#if defined(__x86_64__)
enum { SYS_READ = 0, SYS_WRITE = 1, SYS_EXIT = 60 };
static long system_call(long n, long a, long b, long c)
{
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "0"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return r;
}
__asm__(".globl _start\n_start: andq $-16, %rsp\n call run\n");
#elif defined(__aarch64__)
enum { SYS_READ = 63, SYS_WRITE = 64, SYS_EXIT = 93 };
static long system_call(long n, long a, long b, long c)
{
    register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return x0;
}
__asm__(".globl _start\n_start: bl run\n");
#elif defined(__arm__)
enum { SYS_READ = 3, SYS_WRITE = 4, SYS_EXIT = 1 };
static long system_call(long n, long a, long b, long c)
{
    register long r7 __asm__("r7") = n, r0 __asm__("r0") = a, r1 __asm__("r1") = b, r2 __asm__("r2") = c;
    __asm__ volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2) : "memory");
    return r0;
}
__asm__(".globl _start\n_start: bl run\n");
#else
enum { SYS_READ = 63, SYS_WRITE = 64, SYS_EXIT = 93 };
static long system_call(long n, long a, long b, long c)
{
    register long a7 __asm__("a7") = n, a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2) : "memory");
    return a0;
}
__asm__(".globl _start\n_start: call run\n");
#endif

static long transfer(long call, long fd, void *data, long bytes)
{
    long done = 0;
    for (long n = 1; done < bytes && n > 0; done += n)
        n = system_call(call, fd, (long)((char *)data + done), bytes - done);
    return done;
}

void run(void);
void run(void)
{
    long status = transfer(SYS_READ, 0, sets, sizeof sets) != sizeof sets;
    Job job;
    for (long i = 0; !status && transfer(SYS_READ, 0, &job, sizeof job) == sizeof job; i++) {
        formula_table[i](sets[job.a], sets[job.b], sets[job.c], out);
        status = transfer(SYS_WRITE, 1, out, job.out_bytes) != job.out_bytes;
    }
    system_call(SYS_EXIT, status, 0, 0);
    for (;;)
        continue;
}
