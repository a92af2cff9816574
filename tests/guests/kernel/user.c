// The user programs: one image, and a number that says which.
typedef unsigned int u32;

enum { EXIT, FORK, EXEC, WAIT, MAP, UNMAP, SLEEP, YIELD };
enum { INIT, SIEVE, FAMILY, MAPPER, TRESPASSER, PROGRAMS };
enum { PAGE = 4096 };

static u32 shared_word = 7;  // of a page that is copied when it is written

static u32 call(u32 number, u32 argument) {
  u32 result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "d"(argument) : "memory");
  return result;
}

static u32 mix(u32 sum, u32 value) { return (sum << 5 | sum >> 27) ^ value * 2654435761u; }

static u32 sieve(u32 argument) {
  enum { LIMIT = 16384 };
  unsigned char* flags = (unsigned char*)call(MAP, LIMIT / PAGE);
  u32 sum = argument;
  for (u32 i = 2; i < LIMIT; ++i) {
    if (flags[i] != 0) continue;
    sum = mix(sum, i);
    for (u32 j = i + i; j < LIMIT; j += i) flags[j] = 1;
  }
  call(UNMAP, LIMIT / PAGE);
  return sum;
}

// Children that write what they share with their parent, and with each other.
static u32 family(u32 argument) {
  u32 sum = 0;
  shared_word += argument;
  for (u32 i = 0; i < 3; ++i) {
    if (call(FORK, 0) == 0) {
      shared_word = shared_word * 3 + i;
      call(YIELD, 0);
      call(EXIT, mix(shared_word, i));
    }
  }
  for (u32 i = 0; i < 3; ++i) sum += call(WAIT, 0);
  return sum + shared_word;
}

static u32 mapper(u32 argument) {
  u32 sum = argument;
  for (u32 turn = 0; turn < 8; ++turn) {
    u32* pages = (u32*)call(MAP, 64);
    for (u32 i = 0; i < 64; i += 3) pages[i * 1024] = turn + i;
    for (u32 i = 0; i < 64; ++i) sum = mix(sum, pages[i * 1024]);
    call(UNMAP, 64);
    if (turn == 4) call(SLEEP, 1);
  }
  return sum;
}

// Each is to be refused, and ends it.
static u32 trespasser(u32 argument) {
  switch (argument % 4) {
    case 0:
      *(volatile u32*)0x100000 = 1;
      break;
    case 1:
      __asm__ volatile("cli");
      break;
    case 2:
      __asm__ volatile("wrmsr" : : "a"(1), "c"(0x52530003), "d"(0));
      break;
    default:
      *(volatile u32*)0x50000000 = 1;
  }
  return 1;
}

static u32 init(u32 rounds) {
  u32 sum = 0;
  for (u32 round = 0; round < rounds; ++round) {
    u32 all = 0;
    for (u32 i = 0; i < 8; ++i) {
      if (call(FORK, 0) == 0) call(EXEC, (1 + i % (PROGRAMS - 1)) << 16 | i);
    }
    for (u32 i = 0; i < 8; ++i) all += call(WAIT, 0);
    sum = mix(sum, all);
  }
  return sum;
}

__attribute__((used)) static u32 choose(u32 program, u32 argument) {
  switch (program) {
    case INIT:
      return init(argument);
    case SIEVE:
      return sieve(argument);
    case FAMILY:
      return family(argument);
    case MAPPER:
      return mapper(argument);
    default:
      return trespasser(argument);
  }
}

// EAX: which; EDX: its argument.
__asm__(
    "  .section .text.begin, \"ax\"\n"
    "  .global begin\n"
    "begin:\n"
    "  push %edx\n"
    "  push %eax\n"
    "  call choose\n"
    "  mov %eax, %edx\n"
    "  xor %eax, %eax\n"
    "  int $0x80\n"
    "  .text\n");
