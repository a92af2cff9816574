// The kernel on a bare processor: flags and interrupt controller, page tables written where they
// are, one invalidation after the other.
#include "kernel.h"

enum { PIC = 0x20, PIC_DATA = 0x21, PIT = 0x40, PIT_COMMAND = 0x43, SERIAL = 0x3f8 };
enum { TIMER_VECTOR = 32, END_OF_INTERRUPT = 0x20 };

void platform_begin(void) {
  out8(PIC, 0x11);
  out8(PIC_DATA, TIMER_VECTOR);
  out8(PIC_DATA, 4);
  out8(PIC_DATA, 1);
  out8(PIC_DATA, 0xfe);
}

void print(const char* text, u32 length) {
  for (u32 i = 0; i < length; ++i) out8(SERIAL, (u8)text[i]);
}

u32 irq_save(void) {
  u32 flags;
  __asm__ volatile("pushf; pop %0; cli" : "=r"(flags) : : "memory");
  return flags;
}

void irq_restore(u32 saved) { __asm__ volatile("push %0; popf" : : "r"(saved) : "memory", "cc"); }

void irq_on(void) { __asm__ volatile("sti" : : : "memory"); }

void idle(void) { __asm__ volatile("sti; hlt" : : : "memory"); }

// A hundred times a second.
void timer_begin(void) {
  const u32 count = 1193182 / 100;
  out8(PIT_COMMAND, 0x34);
  out8(PIT, (u8)count);
  out8(PIT, (u8)(count >> 8));
}

void timer_acknowledge(void) { out8(PIC, END_OF_INTERRUPT); }

void load_directory(u32 physical) {
  __asm__ volatile("mov %0, %%cr3" : : "r"(physical) : "memory");
}

void table_made(u32 physical) { (void)physical; }
void table_freed(u32 physical) { (void)physical; }

void update_entry(u32* entry, u32 value, u32 linear) {
  *(volatile u32*)entry = value;
  if (linear != 0) __asm__ volatile("invlpg (%0)" : : "r"(linear) : "memory");
}

void update_commit(void) {}
