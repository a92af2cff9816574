/* One program for every workload of the study, the same static i386 binary in each guest and on the
   host itself. usage: workloads NAME TURNS [COMMAND...]
   Prints `work NAME OPERATIONS NANOSECONDS PROCESSOR CHECK`: the second is processor time of this
   process and its children, also in nanoseconds; CHECK is a number that the work has to come to. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "programs.h"

enum { kPage = 4096, kSwitchers = 8, kPagesMapped = 64, kPagesOfProcess = 16, kFiles = 64 };

static char** command;
static uint64_t operations; /* done by what has just run, if it is not the table's number */

static uint64_t used_by(int who) {
  struct rusage used;
  getrusage(who, &used);
  return (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000000u +
         (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000u;
}

static uint64_t used(void) { return used_by(RUSAGE_SELF) + used_by(RUSAGE_CHILDREN); }

static void fail(const char* what) {
  fprintf(stdout, "work-failed %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void wait_for(pid_t child) {
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) fail("a child did not end well");
}

/* ---- system calls and processes ---- */

static uint32_t run_getpid(uint32_t turns) {
  pid_t first = (pid_t)syscall(SYS_getpid), sum = 0;
  for (uint32_t i = 0; i < turns; ++i) sum += (pid_t)syscall(SYS_getpid) - first;
  return (uint32_t)sum;
}

static uint32_t run_fork(uint32_t turns) {
  for (uint32_t i = 0; i < turns; ++i) {
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) _exit(0);
    wait_for(child);
  }
  return turns;
}

static uint32_t run_command(uint32_t turns) {
  for (uint32_t i = 0; i < turns; ++i) {
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
      execv(command[0], command);
      _exit(127);
    }
    wait_for(child);
  }
  return turns;
}

static void pass(int from, int to) {
  char byte;
  if (read(from, &byte, 1) != 1 || write(to, &byte, 1) != 1) _exit(1);
}

static void touch_pages(volatile char* memory, uint32_t pages) {
  for (uint32_t i = 0; i < pages; ++i) memory[i * kPage] = (char)(memory[i * kPage] + 1);
}

/* A byte goes round a ring of processes; each writes to `pages` pages of its own at its turn. */
static uint32_t ring(uint32_t processes, uint32_t turns, uint32_t pages) {
  int(*pipes)[2] = calloc(processes, sizeof *pipes);
  pid_t* children = calloc(processes, sizeof *children);
  for (uint32_t i = 0; i < processes; ++i)
    if (pipe(pipes[i]) != 0) fail("pipe");
  for (uint32_t i = 1; i < processes; ++i) {
    children[i] = fork();
    if (children[i] < 0) fail("fork");
    if (children[i] != 0) continue;
    char* memory = calloc(pages + 1, kPage);
    for (uint32_t turn = 0; turn < turns; ++turn) {
      pass(pipes[i - 1][0], pipes[i][1]);
      touch_pages(memory, pages);
    }
    _exit(0);
  }
  char byte = 0;
  char* memory = calloc(pages + 1, kPage);
  for (uint32_t turn = 0; turn < turns; ++turn) {
    if (write(pipes[0][1], &byte, 1) != 1) fail("write");
    if (read(pipes[processes - 1][0], &byte, 1) != 1) fail("read");
    touch_pages(memory, pages);
  }
  for (uint32_t i = 1; i < processes; ++i) wait_for(children[i]);
  for (uint32_t i = 0; i < processes; ++i) close(pipes[i][0]), close(pipes[i][1]);
  free(pipes), free(children), free(memory);
  return turns;
}

static uint32_t run_pipe(uint32_t turns) { return ring(2, turns, 0); }
static uint32_t run_switch(uint32_t turns) { return ring(kSwitchers, turns, 0); }

/* ---- memory and files ---- */

static uint32_t run_mmap(uint32_t turns) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < turns; ++i) {
    char* memory = mmap(NULL, kPagesMapped * kPage, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("mmap");
    touch_pages(memory, kPagesMapped);
    sum += (uint32_t)memory[(i % kPagesMapped) * kPage];
    if (munmap(memory, kPagesMapped * kPage) != 0) fail("munmap");
  }
  return sum;
}

/* The first touch of TURNS pages, all of them there at once. */
static uint32_t run_touch(uint32_t turns) {
  char* memory =
      mmap(NULL, (size_t)turns * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  touch_pages(memory, turns);
  munmap(memory, (size_t)turns * kPage);
  return turns;
}

static uint32_t run_files(uint32_t turns) {
  char name[64];
  struct stat known;
  uint32_t size = 0;
  for (uint32_t turn = 0; turn < turns; ++turn) {
    if (mkdir("tree", 0777) != 0) fail("mkdir");
    for (int i = 0; i < kFiles; ++i) {
      snprintf(name, sizeof name, "tree/file-%d", i);
      int file = open(name, O_CREAT | O_EXCL | O_WRONLY, 0666);
      if (file < 0 || write(file, name, sizeof name) != sizeof name) fail("a new file");
      close(file);
    }
    for (int i = 0; i < kFiles; ++i) {
      snprintf(name, sizeof name, "tree/file-%d", i);
      if (stat(name, &known) != 0 || unlink(name) != 0) fail("a file that was there");
      size += (uint32_t)known.st_size;
    }
    if (rmdir("tree") != 0) fail("rmdir");
  }
  return size;
}

/* ---- computing ---- */

static uint32_t random_number(uint32_t* state) {
  *state ^= *state << 13, *state ^= *state >> 17, *state ^= *state << 5;
  return *state;
}

static uint32_t run_integer(uint32_t turns) {
  uint32_t a = 1, b = 12345, c = 0;
  for (uint32_t i = 0; i < turns; ++i) {
    a = a * 1664525u + 1013904223u;
    b ^= a >> 7, b += c << 3;
    c = (c << 5 | c >> 27) + (a ^ b) % 1000003u;
  }
  return a ^ b ^ c;
}

/* Quicksort: branches that nobody can predict, and calls. */
static void sort(uint32_t* values, int32_t low, int32_t high) {
  while (low < high) {
    uint32_t middle = values[(low + high) / 2];
    int32_t i = low, j = high;
    while (i <= j) {
      while (values[i] < middle) ++i;
      while (values[j] > middle) --j;
      if (i <= j) {
        uint32_t value = values[i];
        values[i++] = values[j], values[j--] = value;
      }
    }
    if (j - low < high - i) {
      sort(values, low, j), low = i;
    } else {
      sort(values, i, high), high = j;
    }
  }
}

static uint32_t run_branches(uint32_t turns) {
  enum { kValues = 65536 };
  static uint32_t values[kValues];
  uint32_t seed = 42, sum = 0;
  for (uint32_t turn = 0; turn < turns; ++turn) {
    for (int i = 0; i < kValues; ++i) values[i] = random_number(&seed);
    sort(values, 0, kValues - 1);
    sum ^= values[turn % kValues];
  }
  return sum;
}

static uint32_t __attribute__((noinline)) fibonacci(uint32_t n) {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static uint32_t run_calls(uint32_t turns) {
  uint32_t sum = 0;
  for (uint32_t turn = 0; turn < turns; ++turn) sum += fibonacci(24 + turn % 2);
  return sum;
}

static uint32_t run_chase(uint32_t turns) {
  enum { kCells = 1 << 18 };
  static uint32_t next[kCells];
  uint32_t seed = 7, at = 0;
  for (uint32_t i = 0; i < kCells; ++i) next[i] = i;
  for (uint32_t i = kCells - 1; i > 0; --i) { /* one cycle through all cells (Sattolo) */
    uint32_t other = random_number(&seed) % i, cell = next[i];
    next[i] = next[other], next[other] = cell;
  }
  for (uint32_t turn = 0; turn < turns; ++turn)
    for (uint32_t i = 0; i < kCells; ++i) at = next[at];
  return at + turns;
}

static uint32_t run_x87(uint32_t turns) {
  long double x = 0.5L, sum = 0.0L;
  for (uint32_t i = 1; i <= turns; ++i) {
    x = 3.75L * x * (1.0L - x);
    sum += x / (long double)i;
  }
  return (uint32_t)(sum * 1000000.0L);
}

typedef float Vector __attribute__((vector_size(16)));

static uint32_t __attribute__((target("sse2"))) run_sse(uint32_t turns) {
  enum { kSide = 64 };
  static Vector a[kSide][kSide / 4], b[kSide][kSide / 4], c[kSide][kSide / 4];
  for (int i = 0; i < kSide; ++i)
    for (int j = 0; j < kSide; ++j) {
      a[i][j / 4][j % 4] = (float)((i + j) % 7);
      b[i][j / 4][j % 4] = (float)((i * j) % 5);
    }
  for (uint32_t turn = 0; turn < turns; ++turn)
    for (int i = 0; i < kSide; ++i)
      for (int j = 0; j < kSide / 4; ++j) {
        Vector sum = {0, 0, 0, 0};
        for (int k = 0; k < kSide; ++k) {
          float factor = a[i][k / 4][k % 4];
          Vector factors = {factor, factor, factor, factor};
          sum += factors * b[k][j];
        }
        c[i][j] += sum;
      }
  return (uint32_t)c[kSide - 1][kSide / 4 - 1][3];
}

/* ---- the time-stamp counter, for the machine line ---- */

static uint32_t run_counter(uint32_t turns) {
  uint64_t begin = now(), cycles = __builtin_ia32_rdtsc();
  while (now() - begin < (uint64_t)turns * 1000000u) continue;
  cycles = __builtin_ia32_rdtsc() - cycles;
  return (uint32_t)(cycles * 1000000u / (now() - begin)); /* thousands a second */
}

static uint32_t run_processes(uint32_t turns) {
  uint32_t processes = command[0] == NULL ? 0 : (uint32_t)strtoul(command[0], NULL, 10);
  if (processes == 0 || processes > 1000) fail("how many processes?");
  operations = (uint64_t)turns * processes;
  return ring(processes, turns, kPagesOfProcess);
}

struct workload {
  const char* name;
  uint32_t (*run)(uint32_t turns);
  uint32_t operations; /* in a turn */
};

static const struct workload workloads[] = {
    {"getpid", run_getpid, 1},
    {"fork", run_fork, 1},
    {"command", run_command, 1},
    {"pipe", run_pipe, 1},
    {"switch", run_switch, kSwitchers},
    {"mmap", run_mmap, kPagesMapped},
    {"touch", run_touch, 1},
    {"files", run_files, kFiles},
    {"integer", run_integer, 1},
    {"branches", run_branches, 1},
    {"calls", run_calls, 1},
    {"chase", run_chase, 1 << 18},
    {"x87", run_x87, 1},
    {"sse", run_sse, 1},
    {"interpreter", run_interpreter, 4000 * 7},
    {"virtuals", run_virtuals, 4096},
    {"generator", run_generator, 1},
    {"nbody", run_nbody, 1},
    {"sha256", run_sha256, 1024},
    {"processes", run_processes, 1},
    {"counter", run_counter, 1},
};

static void report(const struct workload* chosen, uint32_t turns) {
  uint64_t begin = now(), used_before = used();
  uint32_t check = chosen->run(turns);
  uint64_t nanoseconds = now() - begin, processor = used() - used_before;
  if (operations == 0) operations = (uint64_t)turns * chosen->operations;
  printf("work %s %llu %llu %llu %u\n", chosen->name, (unsigned long long)operations,
         (unsigned long long)nanoseconds, (unsigned long long)processor, check);
}

int main(int count, char** words) {
  uint32_t turns = count > 2 ? (uint32_t)strtoul(words[2], NULL, 10) : 0;
  if (turns == 0) {
    printf("usage: workloads NAME TURNS [COMMAND...]\n");
    return 2;
  }
  command = words + 3;
  for (size_t i = 0; i < sizeof workloads / sizeof *workloads; ++i)
    if (strcmp(workloads[i].name, words[1]) == 0) {
      report(&workloads[i], turns);
      return 0;
    }
  printf("work-failed no workload is called %s\n", words[1]);
  return 2;
}
