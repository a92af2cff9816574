// The kernel of ours that is built in two ways from one source: for a bare processor, and for
// Ringshift's paravirtual interface (docs/paravirt.md). The differences are declared here and
// defined in native.c or paravirtual.c; everything else is the same.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define KERNEL_CODE 0x08
#define KERNEL_DATA 0x10
#define USER_CODE 0x23
#define USER_DATA 0x2b

#define USER_BEGIN 0x40000000u  // where user programs are
#define USER_HEAP 0x40100000u
#define USER_STACK 0x40200000u  // its end
#define PAGE 4096u

#define PTE_PRESENT 1u
#define PTE_WRITE 2u
#define PTE_USER 4u
#define PTE_COPY 0x200u  // to be copied before it is written

// As entry.S pushes it, and as the Return call of the interface takes it.
struct frame {
  u32 edi, esi, ebp, unused, ebx, edx, ecx, eax;
  u32 gs, fs, es, ds;
  u32 vector, error;
  u32 eip, cs, eflags, esp, ss;
};

// --- native.c or paravirtual.c ---
void platform_begin(void);  // interrupts are off, gates and task state are loaded, paging is on
void print(const char* text, u32 length);
// Interrupts are off from here on; what they were.
u32 irq_save(void);
void irq_restore(u32 saved);
void irq_on(void);
// Until the next interrupt; they are on afterwards.
void idle(void);
// The timer has interrupted.
void timer_begin(void);
void timer_acknowledge(void);
// Goes on in user mode, with interrupts on. `frame` is not on the stack.
void return_to_user(struct frame* frame) __attribute__((noreturn));
void load_directory(u32 physical);
// A page has become a table of pages, and is none any more.
void table_made(u32 physical);
void table_freed(u32 physical);
// Writes an entry; what is cached of the page at `linear` is dropped, unless that is zero. Takes
// effect at update_commit() at the latest.
void update_entry(u32* entry, u32 value, u32 linear);
void update_commit(void);

// --- entry.S ---
extern u8 event_stubs[];  // one every 16 bytes
extern u8 user_image[], user_image_end[];
void load_tables(const void* gdt, const void* idt);
void turn_paging_on(u32 directory);
u32 fault_address(void);

// --- memory.c ---
void memory_begin(void);
u32 frame_take(void);
void frame_share(u32 physical);
void frame_drop(u32 physical);
u32 frames_in_use(void);
u32 space_make(void);
void space_clear(u32 directory);
void space_free(u32 directory);
void space_fork(u32 from, u32 to);
void space_map(u32 directory, u32 linear, u32 pages);
void space_unmap(u32 directory, u32 linear, u32 pages);
void space_load_program(u32 directory);
// 1: the access may be tried again.
int space_fault(u32 directory, u32 linear, u32 error);

// --- kernel.c ---
void handle_event(struct frame* frame);
void panic(const char* why) __attribute__((noreturn));

static inline void out8(u16 port, u8 value) {
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}
static inline u64 time_stamp(void) {
  u64 value;
  __asm__ volatile("rdtsc" : "=A"(value));
  return value;
}
