// The kernel by calls to Ringshift instead (docs/paravirt.md).
#include "kernel.h"

enum { IDENTITY = 0x52530000, CODE_PAGE, SHARED_PAGE };
enum {
  CALL_VERSION,
  CALL_RETURN,
  CALL_REGISTER,
  CALL_RELEASE,
  CALL_UPDATE,
  CALL_LOAD_CR3,
  CALL_INVALIDATE,
  CALL_SET_EVENTS,
  CALL_CHECK_EVENTS,
  CALL_ACKNOWLEDGE,
  CALL_SET_TIMER,
  CALL_BLOCK,
  CALL_YIELD,
  CALL_READ_CLOCK,
  CALL_PRINT
};
enum { MAGIC = 0x474e4952, UPCALL_VECTOR = 32, TICK = 10000000 };

extern u8 code_page[];
extern volatile struct {
  u8 masked, unused[3];
  u32 pending, channel_mask, upcalls;
} shared_page;

static struct {
  u32 entry, invalid;
  u64 value;
} updates[64];
static u32 update_count;
static u64 next_tick;
static int is_there;

static u64 call4(u32 number, u32 edx, u32 ebx, u32 esi) {
  u32 low = number, high = edx;
  __asm__ volatile("call code_page" : "+a"(low), "+d"(high) : "b"(ebx), "S"(esi) : "ecx", "memory");
  return (u64)high << 32 | low;
}
static u32 call(u32 number, u32 edx, u32 ebx) { return (u32)call4(number, edx, ebx, 0); }

static void write_register(u32 index, u32 value) {
  __asm__ volatile("wrmsr" : : "c"(index), "a"(value), "d"(0) : "memory");
}

// By the register, and not by CPUID: that is answered by the processor where it does not trap.
void platform_begin(void) {
  u32 low, high;
  __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(IDENTITY));
  if (low != MAGIC || high != 1) panic("there is no such interface");
  write_register(CODE_PAGE, (u32)code_page | 1);
  is_there = 1;
  shared_page.masked = 1;
  write_register(SHARED_PAGE, (u32)&shared_page | 1);
  call(CALL_SET_EVENTS, UPCALL_VECTOR, 0);
  __asm__ volatile("sti");  // once, and for good: it is the mask that counts from here on
}

// Before there is anybody to call, as on a processor: to the port of debuggers.
void print(const char* text, u32 length) {
  if (is_there) {
    call(CALL_PRINT, (u32)text, length);
  } else {
    for (u32 i = 0; i < length; ++i) out8(0xe9, (u8)text[i]);
  }
}

u32 irq_save(void) {
  const u32 saved = shared_page.masked;
  shared_page.masked = 1;
  __asm__ volatile("" : : : "memory");
  return saved;
}

void irq_restore(u32 saved) {
  __asm__ volatile("" : : : "memory");
  shared_page.masked = (u8)saved;
  if (saved == 0 && shared_page.pending != 0) call(CALL_CHECK_EVENTS, 0, 0);
}

void irq_on(void) { irq_restore(0); }

void idle(void) { call(CALL_BLOCK, 0, 0); }

static void set_timer(void) { call4(CALL_SET_TIMER, (u32)next_tick, (u32)(next_tick >> 32), 0); }

void timer_begin(void) {
  next_tick = call4(CALL_READ_CLOCK, 0, 0, 0) + TICK;
  set_timer();
}

void timer_acknowledge(void) {
  shared_page.pending = 0;
  next_tick += TICK;
  set_timer();
}

void return_to_user(struct frame* frame) {
  call(CALL_RETURN, (u32)frame, 0);
  panic("returned from a return");
}

void load_directory(u32 physical) { call(CALL_LOAD_CR3, physical, 0); }

void table_made(u32 physical) { call(CALL_REGISTER, physical, 0); }
void table_freed(u32 physical) { call(CALL_RELEASE, physical, 0); }

void update_entry(u32* entry, u32 value, u32 linear) {
  if (update_count == sizeof updates / sizeof updates[0]) update_commit();
  updates[update_count].entry = (u32)entry;
  updates[update_count].invalid = linear != 0 ? (linear | 1) : 0;
  updates[update_count].value = value;
  ++update_count;
}

void update_commit(void) {
  if (update_count == 0) return;
  if (call(CALL_UPDATE, (u32)updates, update_count) != update_count) panic("an update is refused");
  update_count = 0;
}
