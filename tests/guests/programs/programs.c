/* What user programs of a Linux guest do to a monitor, one part after the other, with a line of
   numbers each that has to be the same in every engine: threads with storage of their own, signals
   with handlers, trees of processes, code made at run time, x87 and SSE state, single-stepping.
   usage: programs [PART]. Parts compute for a while, so that a monitor that decides by what it sees
   has seen it. */
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xmmintrin.h>

enum { kPage = 4096, kThreads = 4 };

static const char* self;
static uint32_t turns = 1; /* a factor of how long parts compute */

static void fail(const char* what) {
  printf("failed: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint32_t compute(uint32_t seed, uint32_t steps) {
  uint32_t x = seed | 1;
  for (uint32_t i = 0; i < steps; ++i) {
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    if (x & 1) x += i;
  }
  return x;
}

static uint32_t busy(uint32_t seed) { return compute(seed, turns * 10000000u); }

static void wait_for(pid_t child, int wanted) {
  int status = 0;
  if (waitpid(child, &status, 0) != child) fail("waitpid");
  if (status != wanted) {
    printf("status %x instead of %x\n", status, wanted);
    exit(1);
  }
}

/* ---- threads ---- */

static __thread uint32_t own = 7;
static __thread char own_buffer[100];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t shared_sum;

static void* thread_main(void* number) {
  uint32_t id = (uint32_t)(uintptr_t)number;
  own += id;
  snprintf(own_buffer, sizeof own_buffer, "thread %u", id);
  for (uint32_t i = 0; i < 20; ++i) {
    own = compute(own, turns * 250000u);
    pthread_mutex_lock(&lock);
    shared_sum += own & 0xff;
    pthread_mutex_unlock(&lock);
    if (i % 4 == 0) sched_yield();
  }
  own_buffer[0] ^= 0x20;
  /* Before errno: malloc may look for /sys, which is not there, and leave ENOENT. */
  uint32_t* result = malloc(sizeof *result);
  errno = (int)id;
  sched_yield();
  *result = own + (uint32_t)own_buffer[0] + (uint32_t)errno;
  return result;
}

static void part_threads(void) {
  pthread_t threads[kThreads];
  uint32_t sum = 0;
  for (uintptr_t i = 0; i < kThreads; ++i) {
    if (pthread_create(&threads[i], NULL, thread_main, (void*)(i + 1)) != 0) fail("thread");
  }
  for (int i = 0; i < kThreads; ++i) {
    void* result = NULL;
    pthread_join(threads[i], &result);
    sum = sum * 31 + *(uint32_t*)result;
    free(result);
  }
  printf("threads %08x %u own %u\n", sum, shared_sum, own);
}

/* ---- signals ---- */

static volatile sig_atomic_t faults, alarms, divisions, children;
static volatile uint32_t fault_sum;
static char* guarded;
static sigjmp_buf after_division;

static void on_fault(int number, siginfo_t* info, void* context) {
  (void)number;
  (void)context;
  char* page = (char*)((uintptr_t)info->si_addr & ~(uintptr_t)(kPage - 1));
  fault_sum = fault_sum * 31 + (uint32_t)(page - guarded);
  if (mprotect(page, kPage, PROT_READ | PROT_WRITE) != 0) _exit(3);
  ++faults;
}

static void on_division(int number, siginfo_t* info, void* context) {
  (void)number;
  (void)context;
  divisions += info->si_code == FPE_INTDIV;
  siglongjmp(after_division, 1);
}

static void on_alarm(int number) {
  (void)number;
  ++alarms;
}

static void handle(int number, void (*handler)(int, siginfo_t*, void*)) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  if (sigaction(number, &action, NULL) != 0) fail("sigaction");
}

static void part_signals(void) {
  handle(SIGSEGV, on_fault);
  handle(SIGFPE, on_division);
  signal(SIGALRM, on_alarm);
  guarded = mmap(NULL, 64 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (guarded == MAP_FAILED) fail("mmap");
  uint32_t sum = busy(1);
  for (uint32_t i = 0; i < 64; ++i) {
    sum += compute(i, turns * 50000u);
    guarded[i * kPage + i] = (char)i;
  }
  for (uint32_t i = 0; i < 64; ++i) sum = sum * 31 + (uint32_t)guarded[i * kPage + i];
  volatile int zero = 0;
  for (int i = 0; i < 50; ++i) {
    if (sigsetjmp(after_division, 1) == 0) sum += (uint32_t)(i / zero);
    sum = compute(sum, 1000);
  }
  struct itimerval every = {{0, 5000}, {0, 5000}}, none = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &every, NULL);
  while (alarms < 10) sum ^= compute(5, 1000) ^ compute(5, 1000);
  setitimer(ITIMER_REAL, &none, NULL);
  printf("signals %08x faults %d %08x divisions %d\n", sum, (int)faults, fault_sum, (int)divisions);
}

/* ---- processes ---- */

static uint32_t tree(uint32_t depth, uint32_t path) {
  uint32_t sum = compute(path, turns * 400000u);
  int ends[2];
  if (depth == 0) return sum;
  if (pipe(ends) != 0) fail("pipe");
  for (uint32_t side = 0; side < 2; ++side) {
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
      uint32_t below = tree(depth - 1, path * 2 + side);
      _exit(write(ends[1], &below, sizeof below) == sizeof below ? (int)side : 99);
    }
    uint32_t below = 0;
    wait_for(child, (int)side << 8);
    if (read(ends[0], &below, sizeof below) != sizeof below) fail("read");
    sum = sum * 31 + below;
  }
  close(ends[0]);
  close(ends[1]);
  return sum;
}

static void part_processes(void) {
  printf("processes %08x\n", tree(3, 1));
  fflush(stdout);
  for (int i = 0; i < 4; ++i) {
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
      execl(self, self, "child", (char*)NULL);
      _exit(127);
    }
    wait_for(child, 5 << 8);
  }
}

/* ---- code made at run time ---- */

typedef uint32_t (*Made)(uint32_t, uint32_t);

/* f(x, n): for n turns x = x * a + b. */
static void make_code(uint8_t* at, uint32_t a, uint32_t b) {
  static const uint8_t code[] = {0x8b, 0x44, 0x24, 0x04, 0x8b, 0x4c, 0x24, 0x08, 0x69, 0xc0, 0,   0,
                                 0,    0,    0x05, 0,    0,    0,    0,    0x49, 0x75, 0xf2, 0xc3};
  memcpy(at, code, sizeof code);
  memcpy(at + 10, &a, 4);
  memcpy(at + 15, &b, 4);
}

static void part_jit(void) {
  uint8_t* page =
      mmap(NULL, 4 * kPage, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) fail("mmap");
  uint32_t sum = 1, expected = 1;
  for (uint32_t round = 0; round < 200; ++round) {
    uint8_t* at = page + (round * 397) % (3 * kPage);
    uint32_t a = round * 2 + 1, b = round ^ 0x1234, n = turns * 40000u;
    make_code(at, a, b);
    sum = ((Made)(uintptr_t)at)(sum, n);
    for (uint32_t i = 0; i < n; ++i) expected = expected * a + b;
    if (sum != expected) break;
  }
  /* Between rights, as careful compilers do. */
  uint32_t careful = 1;
  for (uint32_t round = 0; round < 50; ++round) {
    if (mprotect(page, kPage, PROT_READ | PROT_WRITE) != 0) fail("mprotect");
    make_code(page, 2 * round + 3, round);
    if (mprotect(page, kPage, PROT_READ | PROT_EXEC) != 0) fail("mprotect");
    careful = ((Made)(uintptr_t)page)(careful, turns * 20000u);
  }
  printf("jit %s %08x %08x\n", sum == expected ? "same" : "DIFFERENT", sum, careful);
}

/* ---- floating point ---- */

static double series(int rounding, uint32_t steps) {
  uint16_t control = 0, wanted = 0;
  __asm__ volatile("fnstcw %0" : "=m"(control));
  wanted = (uint16_t)((control & ~0xc00) | rounding << 10);
  __asm__ volatile("fldcw %0" : : "m"(wanted));
  volatile double sum = 0;
  for (uint32_t i = 1; i <= steps; ++i) sum += 1.0 / (double)i;
  __asm__ volatile("fldcw %0" : : "m"(control));
  return sum;
}

static uint32_t vectors(uint32_t seed, uint32_t steps) {
  __m128 sum = _mm_set_ps((float)seed, 2, 3, 4), factor = _mm_set_ps(1.01F, 0.99F, 1.5F, 0.5F);
  for (uint32_t i = 0; i < steps; ++i) {
    sum = _mm_add_ps(_mm_mul_ps(sum, factor), factor);
    if ((i & 63) == 63) sum = _mm_set_ps((float)seed, 2, 3, 4);
  }
  float out[4];
  uint32_t bits[4];
  _mm_storeu_ps(out, sum);
  memcpy(bits, out, sizeof bits);
  return bits[0] ^ bits[1] * 3 ^ bits[2] * 5 ^ bits[3] * 7;
}

static volatile double handler_sum;

static void on_float_alarm(int number) {
  (void)number;
  ++alarms;
  handler_sum =
      sqrt(2.0 + (double)alarms) * 1e-3; /* other x87 and SSE state than what it interrupts */
  (void)vectors(9, 10);
  _mm_setcsr(0x7f80);
}

static uint32_t float_child(int number) {
  double sum = series(number & 3, turns * 2000000u);
  uint64_t bits = 0;
  memcpy(&bits, &sum, sizeof bits);
  return (uint32_t)bits ^ (uint32_t)(bits >> 32) ^ vectors((uint32_t)number, turns * 2000000u);
}

static void part_floats(void) {
  int ends[2];
  uint32_t results[4] = {0, 0, 0, 0};
  if (pipe(ends) != 0) fail("pipe");
  signal(SIGALRM, on_float_alarm);
  for (int i = 0; i < 4; ++i) {
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child != 0) continue;
    struct itimerval every = {{0, 3000}, {0, 3000}};
    setitimer(ITIMER_REAL, &every, NULL);
    uint32_t answer[2] = {(uint32_t)i, float_child(i)};
    _exit(write(ends[1], answer, sizeof answer) == sizeof answer ? 0 : 1);
  }
  for (int i = 0; i < 4; ++i) {
    uint32_t answer[2];
    if (read(ends[0], answer, sizeof answer) != sizeof answer) fail("read");
    results[answer[0] & 3] = answer[1];
  }
  while (wait(NULL) > 0) {
  }
  printf("floats %08x %08x %08x %08x mxcsr %04x\n", results[0], results[1], results[2], results[3],
         _mm_getcsr() & 0xffc0);
}

/* ---- one process steps another ---- */

__asm__(
    ".text\n.globl stepped_code\nstepped_code:\n"
    "  int3\n"
    "  mov $5, %ecx\n"
    "1: add %ecx, %eax\n"
    "  loop 1b\n"
    "  push %eax\n"
    "  pop %edx\n"
    "  fld1\n"
    "  fstp %st(0)\n"
    "  mov %gs, %ebx\n"
    "  int3\n"
    "  ret\n");
void stepped_code(void);

static void stepped_child(void) {
  if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(9);
  (void)busy(3);
  stepped_code();
  uint32_t sum = busy(4);
  _exit(sum == busy(4) ? 6 : 7);
}

static void wait_for_trap(pid_t child) {
  int status = 0;
  if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) {
    printf("no trap but status %x\n", status);
    exit(1);
  }
}

static void part_steps(void) {
  struct user_regs_struct registers;
  uint32_t steps = 0, sum = 0;
  fflush(stdout);
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) stepped_child();
  wait_for_trap(child);
  ptrace(PTRACE_GETREGS, child, NULL, &registers);
  uint32_t base = (uint32_t)(uintptr_t)stepped_code;
  printf("steps begin %u", (uint32_t)registers.eip - base);
  registers.eax = 1;
  ptrace(PTRACE_SETREGS, child, NULL, &registers);
  do {
    ptrace(PTRACE_SINGLESTEP, child, NULL, NULL);
    wait_for_trap(child);
    ptrace(PTRACE_GETREGS, child, NULL, &registers);
    sum = sum * 31 + ((uint32_t)registers.eip - base) * 7 + (uint32_t)registers.eax;
    ++steps;
  } while (ptrace(PTRACE_PEEKTEXT, child, (void*)((uintptr_t)registers.eip - 1), NULL) != 0 &&
           ((uint32_t)ptrace(PTRACE_PEEKTEXT, child, (void*)(uintptr_t)(registers.eip - 1), NULL) &
            0xff) != 0xcc &&
           steps < 100);
  printf(" steps %u sum %08x eax %u edx %u\n", steps, sum, (uint32_t)registers.eax,
         (uint32_t)registers.edx);
  ptrace(PTRACE_CONT, child, NULL, NULL);
  wait_for(child, 6 << 8);
}

/* ---- ---- */

static const struct {
  const char* name;
  void (*run)(void);
} parts[] = {{"threads", part_threads}, {"signals", part_signals}, {"processes", part_processes},
             {"jit", part_jit},         {"floats", part_floats},   {"steps", part_steps}};

int main(int argc, char** argv) {
  self = argv[0];
  if (argc > 1 && strcmp(argv[1], "child") == 0) {
    printf("child %08x\n", busy(2));
    return 5;
  }
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; ++i) {
    if (argc > 1 && strcmp(argv[1], parts[i].name) != 0) continue;
    parts[i].run();
    fflush(stdout);
  }
  return 0;
}
