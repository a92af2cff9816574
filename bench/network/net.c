// Measures a network as a program in the guest sees it: bytes a second each way over one TCP
// connection, and round trips of a few bytes. usage: net ADDRESS PORT; the other end is
// __main__.py. Prints one line for each measurement.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kBlock = 1 << 16, kSmall = 64, kWarmUp = 200 };

static struct sockaddr_in peer;
static char block[kBlock];

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void check(int good) {
  if (good) return;
  perror("net");
  exit(1);
}

// Tells the other end what is wanted: a letter, and how much.
static int begin(char what, uint32_t amount) {
  const int one = 1;
  const int connection = socket(AF_INET, SOCK_STREAM, 0);
  char request[16] = {what};
  memcpy(request + 4, &amount, sizeof(amount));
  check(connect(connection, (struct sockaddr*)&peer, sizeof(peer)) == 0);
  check(setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
  check(write(connection, request, sizeof(request)) == sizeof(request));
  return connection;
}

static void read_all(int connection, size_t bytes) {
  while (bytes != 0) {
    const ssize_t got = read(connection, block, bytes < kBlock ? bytes : kBlock);
    check(got > 0);
    bytes -= (size_t)got;
  }
}

static void write_all(int connection, size_t bytes) {
  while (bytes != 0) {
    const ssize_t sent = write(connection, block, bytes < kBlock ? bytes : kBlock);
    check(sent > 0);
    bytes -= (size_t)sent;
  }
}

static void tell(const char* name, double amount, double seconds, const char* unit) {
  printf("network-bench %s %.2f %s\n", name, amount / seconds, unit);
  fflush(stdout);
}

static void receive(uint32_t bytes) {
  const double start = now();
  const int connection = begin('r', bytes);
  read_all(connection, bytes);
  tell("receive", bytes / 1e6, now() - start, "MB/s");
  close(connection);
}

// Until the other end says that it has all.
static void transmit(uint32_t bytes) {
  const double start = now();
  const int connection = begin('s', bytes);
  write_all(connection, bytes);
  read_all(connection, 1);
  tell("send", bytes / 1e6, now() - start, "MB/s");
  close(connection);
}

static void round_trips(uint32_t count) {
  const int connection = begin('e', count + kWarmUp);
  double start = 0;
  for (uint32_t i = 0; i < count + kWarmUp; ++i) {
    if (i == kWarmUp) start = now();
    write_all(connection, kSmall);
    read_all(connection, kSmall);
  }
  tell("round-trips", count, now() - start, "/s");
  close(connection);
}

int main(int count, char** words) {
  if (count != 5) return 2;
  peer.sin_family = AF_INET;
  peer.sin_port = htons((uint16_t)atoi(words[2]));
  check(inet_aton(words[1], &peer.sin_addr) != 0);
  const uint32_t bytes = (uint32_t)strtoul(words[3], NULL, 10);
  receive(bytes);
  transmit(bytes);
  round_trips((uint32_t)strtoul(words[4], NULL, 10));
  puts("network-bench done");
  return 0;
}
