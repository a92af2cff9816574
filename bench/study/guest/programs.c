#include "programs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- an interpreter: one switch, through a table of jumps, for each operation ---- */

enum operation { kAdd, kXor, kRotate, kMultiply, kLoad, kStore, kCountDown, kEnd };

struct instruction {
  uint8_t operation, to, from;
  int8_t value;
};

static uint32_t __attribute__((noinline))
interpret(const struct instruction* program, uint32_t* registers, uint32_t* memory) {
  const struct instruction* at = program;
  for (;;) {
    const struct instruction now = *at++;
    uint32_t* to = &registers[now.to];
    switch (now.operation) {
      case kAdd:
        *to += registers[now.from] + (uint32_t)now.value;
        break;
      case kXor:
        *to ^= registers[now.from];
        break;
      case kRotate:
        *to = *to << 5 | *to >> 27;
        break;
      case kMultiply:
        *to = *to * 1664525u + registers[now.from];
        break;
      case kLoad:
        *to = memory[registers[now.from] & 255];
        break;
      case kStore:
        memory[registers[now.from] & 255] = *to;
        break;
      case kCountDown:
        if (--*to != 0) at += now.value;
        break;
      case kEnd:
        return registers[0];
      default:
        abort();
    }
  }
}

uint32_t run_interpreter(uint32_t turns) {
  static const struct instruction program[] = {
      {kMultiply, 1, 2, 0}, {kStore, 1, 3, 0},  {kXor, 0, 1, 0},        {kAdd, 3, 0, 7},
      {kLoad, 2, 3, 0},     {kRotate, 0, 0, 0}, {kCountDown, 4, 0, -7}, {kEnd, 0, 0, 0}};
  static uint32_t memory[256];
  uint32_t sum = 0;
  for (uint32_t turn = 0; turn < turns; ++turn) {
    uint32_t registers[5] = {turn, 1, 2, 3, 4000};
    sum ^= interpret(program, registers, memory);
  }
  return sum;
}

/* ---- objects: calls through tables of functions, of three classes in a random order ---- */

struct shape;
struct shape_class {
  uint32_t (*area)(const struct shape*);
  void (*grow)(struct shape*, uint32_t);
};
struct shape {
  const struct shape_class* class;
  uint32_t a, b;
};

static uint32_t area_of_square(const struct shape* shape) { return shape->a * shape->a; }
static uint32_t area_of_rectangle(const struct shape* shape) { return shape->a * shape->b; }
static uint32_t area_of_triangle(const struct shape* shape) { return shape->a * shape->b / 2; }
static void grow_one(struct shape* shape, uint32_t by) { shape->a += by; }
static void grow_both(struct shape* shape, uint32_t by) { shape->a += by, shape->b ^= by; }

uint32_t run_virtuals(uint32_t turns) {
  enum { kShapes = 2048 };
  static const struct shape_class classes[] = {
      {area_of_square, grow_one}, {area_of_rectangle, grow_both}, {area_of_triangle, grow_both}};
  static struct shape shapes[kShapes];
  uint32_t seed = 5, sum = 0;
  for (int i = 0; i < kShapes; ++i) {
    seed = seed * 1664525u + 1013904223u;
    shapes[i] = (struct shape){&classes[(seed >> 16) % 3], seed >> 24, seed >> 20 & 255};
  }
  for (uint32_t turn = 0; turn < turns; ++turn)
    for (int i = 0; i < kShapes; ++i) {
      sum += shapes[i].class->area(&shapes[i]);
      shapes[i].class->grow(&shapes[i], sum & 3);
    }
  return sum;
}

/* ---- a generator of code, as a just-in-time compiler has it ---- */

typedef uint32_t (*generated)(uint32_t);

static uint8_t* put(uint8_t* at, const void* bytes, uint32_t value, size_t length) {
  memcpy(at, bytes, length);
  memcpy(at + length, &value, sizeof value);
  return at + length + sizeof value;
}

/* mov eax, [esp+4]; then 16 of add, xor or imul with a constant; ret */
static void generate(uint8_t* at, uint32_t seed) {
  memcpy(at, "\x8b\x44\x24\x04", 4);
  at += 4;
  for (int i = 0; i < 16; ++i) {
    seed = seed * 1664525u + 1013904223u;
    switch (seed >> 30) {
      case 0:
        at = put(at, "\x05", seed, 1);
        break;
      case 1:
        at = put(at, "\x35", seed, 1);
        break;
      default:
        at = put(at, "\x69\xc0", seed | 1, 2);
        break;
    }
  }
  *at = 0xc3;
}

uint32_t run_generator(uint32_t turns) {
  enum { kRoom = 128, kFunctions = 512, kCalls = 64 };
  uint8_t* code = mmap(NULL, kRoom * kFunctions, PROT_READ | PROT_WRITE | PROT_EXEC,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED) {
    printf("work-failed no memory that may be written and executed\n");
    exit(1);
  }
  uint32_t sum = 1;
  for (uint32_t turn = 0; turn < turns; ++turn) {
    uint8_t* at = code + (size_t)(turn % kFunctions) * kRoom;
    generate(at, turn);
    generated function = (generated)(uintptr_t)at;
    for (int call = 0; call < kCalls; ++call) sum = function(sum) ^ (uint32_t)call;
  }
  munmap(code, kRoom * kFunctions);
  return sum;
}

/* ---- five bodies that attract each other: double precision on the x87 ---- */

struct body {
  double at[3], speed[3], mass;
};

static double root(double value) {
  double result;
  __asm__("fsqrt" : "=t"(result) : "0"(value));
  return result;
}

static void step(struct body* bodies, int count, double time) {
  for (int i = 0; i < count; ++i)
    for (int j = i + 1; j < count; ++j) {
      double apart[3], square = 0.01;
      for (int k = 0; k < 3; ++k) {
        apart[k] = bodies[i].at[k] - bodies[j].at[k];
        square += apart[k] * apart[k];
      }
      const double pull = time / (square * root(square));
      for (int k = 0; k < 3; ++k) {
        bodies[i].speed[k] -= apart[k] * bodies[j].mass * pull;
        bodies[j].speed[k] += apart[k] * bodies[i].mass * pull;
      }
    }
  for (int i = 0; i < count; ++i)
    for (int k = 0; k < 3; ++k) bodies[i].at[k] += time * bodies[i].speed[k];
}

uint32_t run_nbody(uint32_t turns) {
  enum { kBodies = 5 };
  struct body bodies[kBodies];
  for (int i = 0; i < kBodies; ++i) {
    const double away = (double)(i * (i + 2));
    bodies[i] = (struct body){
        {away, 0.3 * i, -0.1 * i}, {0.01 * i, i ? 1.0 / i : 0, 0.02}, i ? 0.01 * i : 4};
  }
  for (uint32_t turn = 0; turn < turns; ++turn) step(bodies, kBodies, 0.001);
  uint32_t sum = 0;
  for (int i = 0; i < kBodies; ++i)
    sum ^= (uint32_t)(int32_t)(bodies[i].at[0] * 1000000.0) + (uint32_t)i;
  return sum;
}

/* ---- SHA-256 (FIPS 180-4) ---- */

static const uint32_t kConstants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turned(uint32_t value, int by) { return value >> by | value << (32 - by); }

static void digest_block(uint32_t* state, const uint8_t* bytes) {
  uint32_t words[64];
  for (int i = 0; i < 16; ++i)
    words[i] = (uint32_t)bytes[4 * i] << 24 | (uint32_t)bytes[4 * i + 1] << 16 |
               (uint32_t)bytes[4 * i + 2] << 8 | bytes[4 * i + 3];
  for (int i = 16; i < 64; ++i) {
    const uint32_t a = words[i - 15], b = words[i - 2];
    words[i] = words[i - 16] + (turned(a, 7) ^ turned(a, 18) ^ a >> 3) + words[i - 7] +
               (turned(b, 17) ^ turned(b, 19) ^ b >> 10);
  }
  uint32_t v[8];
  memcpy(v, state, sizeof v);
  for (int i = 0; i < 64; ++i) {
    const uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
    const uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
    const uint32_t first = v[7] + (turned(v[4], 6) ^ turned(v[4], 11) ^ turned(v[4], 25)) + choice +
                           kConstants[i] + words[i];
    const uint32_t second = (turned(v[0], 2) ^ turned(v[0], 13) ^ turned(v[0], 22)) + majority;
    v[7] = v[6], v[6] = v[5], v[5] = v[4], v[4] = v[3] + first;
    v[3] = v[2], v[2] = v[1], v[1] = v[0], v[0] = first + second;
  }
  for (int i = 0; i < 8; ++i) state[i] += v[i];
}

uint32_t run_sha256(uint32_t turns) {
  uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  uint8_t bytes[1024];
  for (uint32_t i = 0; i < sizeof bytes; ++i) bytes[i] = (uint8_t)(i * 7 + 1);
  for (uint32_t turn = 0; turn < turns; ++turn)
    for (size_t at = 0; at < sizeof bytes; at += 64) digest_block(state, bytes + at);
  return state[0] ^ state[7];
}
