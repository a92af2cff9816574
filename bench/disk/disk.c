// Measures a disk as a program in the guest sees it: bytes a second past the page cache, in order
// and at random. usage: disk DEVICE; destroys the contents of DEVICE. Prints one line for each
// measurement.
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { kLarge = 1 << 20, kSmall = 4096, kPasses = 96, kRandom = 3000 };

static char* buffer;
static int disk;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static uint32_t next_random(void) {
  static uint32_t state = 1;
  state = state * 1664525 + 1013904223;
  return state >> 8;
}

static void check(ssize_t moved, ssize_t wanted) {
  if (moved == wanted) return;
  perror("disk");
  exit(1);
}

// count blocks of size bytes, in order or anywhere on the device.
static void measure(const char* name, int writes, ssize_t size, int count, int in_order,
                    off_t blocks) {
  const double begin = now();
  for (int i = 0; i < count; ++i) {
    const off_t at = (in_order ? i % blocks : (off_t)(next_random() % (uint32_t)blocks)) * size;
    check(writes ? pwrite(disk, buffer, (size_t)size, at) : pread(disk, buffer, (size_t)size, at),
          size);
  }
  if (writes) check(fsync(disk), 0);
  const double seconds = now() - begin;
  printf("disk-bench %s %.2f MB/s %.0f requests/s\n", name,
         (double)count * (double)size / 1e6 / seconds, count / seconds);
  fflush(stdout);
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  disk = open(argv[1], O_RDWR | O_DIRECT);
  if (disk < 0 || posix_memalign((void**)&buffer, kLarge, kLarge) != 0) {
    perror(argv[1]);
    return 1;
  }
  memset(buffer, 0x5a, kLarge);
  const off_t bytes = lseek(disk, 0, SEEK_END);
  measure("sequential-read", 0, kLarge, kPasses, 1, bytes / kLarge);
  measure("sequential-write", 1, kLarge, kPasses, 1, bytes / kLarge);
  measure("random-read", 0, kSmall, kRandom, 0, bytes / kSmall);
  measure("random-write", 1, kSmall, kRandom, 0, bytes / kSmall);
  printf("disk-bench done\n");
  return 0;
}
