// Processes, events and system calls; the same for a bare processor and for the paravirtual one.
// At the end it prints what its processes have computed, and what it has done for them.
#include "kernel.h"

enum { PROCESSES = 24, TIMER = 32, SYSTEM_CALL = 0x80, PAGE_FAULT = 14 };
enum { EXIT_GOOD = 0, EXIT_PANIC = 1 };
enum state { FREE, READY, SLEEPING, WAITING, ENDED };

struct process {
  enum state state;
  u32 directory, parent, heap_pages, wakes_at, result;
  struct frame frame;
};

static struct process processes[PROCESSES];
static u32 current;
static volatile u32 ticks;
static u32 forks, execs, copies, refused;
static u64 began;

static struct {
  u16 limit;
  u32 base;
} __attribute__((packed)) gdt_pointer, idt_pointer;
static u64 gdt[8];
static u32 idt[256][2];
static u32 task[26];
extern u8 stack_end[];

static void say(const char* text) {
  u32 length = 0;
  while (text[length] != 0) ++length;
  print(text, length);
}

static void say_number(const char* name, u32 value) {
  char line[9];
  for (u32 i = 0; i < 8; ++i) line[i] = "0123456789abcdef"[value >> (28 - 4 * i) & 15];
  line[8] = '\n';
  say(name);
  say(" ");
  print(line, 9);
}

static void end(u8 code) {
  for (;;) {
    out8(0xf4, code);
    __asm__ volatile("cli; hlt");
  }
}

void panic(const char* why) {
  say("panic: ");
  say(why);
  say("\n");
  for (;;) end(EXIT_PANIC);
}

// Round robin.
static struct process* choose(void) {
  for (u32 i = 1; i <= PROCESSES; ++i) {
    const u32 at = (current + i) % PROCESSES;
    struct process* process = &processes[at];
    if (process->state == SLEEPING && (int)(ticks - process->wakes_at) >= 0) process->state = READY;
    if (process->state != READY) continue;
    current = at;
    return process;
  }
  return 0;
}

static void switch_to(u32 directory) {
  static u32 loaded;
  if (loaded != directory) load_directory(directory);
  loaded = directory;
}

static void go_on(struct process* process) {
  switch_to(process->directory);
  return_to_user(&process->frame);
}

static void schedule(void) {
  for (;;) {
    const u32 saved = irq_save();
    struct process* process = choose();
    irq_restore(saved);
    if (process != 0) go_on(process);
    irq_save();
    idle();
  }
}

static void begin_program(struct process* process, u32 program, u32 argument) {
  space_clear(process->directory);
  space_load_program(process->directory);
  process->heap_pages = 0;
  struct frame* frame = &process->frame;
  *frame = (struct frame){0};
  frame->eax = program;
  frame->edx = argument;
  frame->ds = frame->es = frame->ss = USER_DATA;
  frame->cs = USER_CODE;
  frame->eflags = 0x202;
  frame->eip = USER_BEGIN;
  frame->esp = USER_STACK;
}

static u32 fork(struct process* parent) {
  for (u32 i = 0; i < PROCESSES; ++i) {
    struct process* child = &processes[i];
    if (child->state != FREE) continue;
    ++forks;
    child->directory = space_make();
    space_fork(parent->directory, child->directory);
    child->parent = (u32)(parent - processes);
    child->heap_pages = parent->heap_pages;
    child->frame = parent->frame;
    child->frame.eax = 0;
    child->state = READY;
    return i;
  }
  panic("too many processes");
}

// The result of a child that has ended, or ~0 if there is none, and it waits.
static void wait(struct process* parent) {
  const u32 self = (u32)(parent - processes);
  for (u32 i = 0; i < PROCESSES; ++i) {
    struct process* child = &processes[i];
    if (child->state != ENDED || child->parent != self) continue;
    parent->frame.eax = child->result;
    parent->state = READY;
    child->state = FREE;
    return;
  }
  parent->state = WAITING;
}

static void report(u32 result) {
  const u64 cycles = time_stamp() - began;
  say_number("checksum", result);
  say_number("forks", forks);
  say_number("programs", execs);
  say_number("copies", copies);
  say_number("refused", refused);
  say_number("frames", frames_in_use());
  say_number("cycles", (u32)(cycles >> 10));
  end(EXIT_GOOD);
}

static void finish(struct process* process, u32 result) {
  if (process == &processes[0]) report(result);
  struct process* parent = &processes[process->parent];
  switch_to(parent->directory);  // the tables of a space in use are not to go
  space_free(process->directory);
  process->result = result;
  process->state = ENDED;
  if (parent->state == WAITING) wait(parent);
}

static void system_call(struct process* process) {
  struct frame* frame = &process->frame;
  const u32 argument = frame->edx;
  switch (frame->eax) {
    case 0:
      return finish(process, argument);
    case 1:
      frame->eax = fork(process);
      return;
    case 2:
      ++execs;
      return begin_program(process, argument >> 16, argument & 0xffff);
    case 3:
      return wait(process);
    case 4:
      space_map(process->directory, USER_HEAP + process->heap_pages * PAGE, argument);
      frame->eax = USER_HEAP + process->heap_pages * PAGE;
      process->heap_pages += argument;
      return;
    case 5:
      process->heap_pages -= argument;
      return space_unmap(process->directory, USER_HEAP + process->heap_pages * PAGE, argument);
    case 6:
      process->wakes_at = ticks + argument;
      process->state = SLEEPING;
      return;
    case 7:
      return;
    default:
      frame->eax = ~0u;
  }
}

// A forbidden act ends a user program, with a result that says so.
static void fault(struct process* process) {
  const struct frame* frame = &process->frame;
  if (frame->vector == PAGE_FAULT &&
      space_fault(process->directory, fault_address(), frame->error)) {
    ++copies;
    return;
  }
  ++refused;
  finish(process, 0xdead0000u + frame->vector);
}

void handle_event(struct frame* frame) {
  const int is_user = (frame->cs & 3) == 3;
  if (frame->vector == TIMER) {
    ++ticks;
    timer_acknowledge();
    if (!is_user) return;
  }
  if (!is_user) {
    say_number("at", frame->eip);
    panic("an exception in the kernel");
  }
  struct process* process = &processes[current];
  process->frame = *frame;
  if (frame->vector == SYSTEM_CALL) {
    system_call(process);
  } else if (frame->vector != TIMER) {
    fault(process);
  }
  if (frame->vector != TIMER && process->state == READY) go_on(process);
  schedule();
}

static void make_tables(void) {
  gdt[1] = 0x00cf9b000000ffffull;
  gdt[2] = 0x00cf93000000ffffull;
  gdt[4] = 0x00cffb000000ffffull;
  gdt[5] = 0x00cff3000000ffffull;
  const u64 base = (u32)task;
  gdt[6] = 0x0000890000000067ull | (base & 0xffffff) << 16 | (base >> 24) << 56;
  task[1] = (u32)stack_end;
  task[2] = KERNEL_DATA;
  for (u32 i = 0; i < 256; ++i) {
    const u32 stub = (u32)event_stubs + i * 16;
    // A trap gate leaves interrupts on. The timer's own is an interrupt gate on a bare processor.
    u32 kind = 0x8f00;
#ifndef PARAVIRTUAL
    if (i == TIMER) kind = 0x8e00;
#endif
    if (i == SYSTEM_CALL) kind |= 0x6000;
    idt[i][0] = KERNEL_CODE << 16 | (stub & 0xffff);
    idt[i][1] = (stub & 0xffff0000) | kind;
  }
  gdt_pointer.limit = sizeof gdt - 1;
  gdt_pointer.base = (u32)gdt;
  idt_pointer.limit = sizeof idt - 1;
  idt_pointer.base = (u32)idt;
  load_tables(&gdt_pointer, &idt_pointer);
}

// The number after "rounds=" on the command line.
static u32 rounds_of(const u32* multiboot) {
  enum { HAS_COMMAND_LINE = 4 };
  if ((multiboot[0] & HAS_COMMAND_LINE) == 0) return 1;
  for (const char* at = (const char*)multiboot[4]; *at != 0; ++at) {
    const char* name = "rounds=";
    u32 i = 0;
    while (name[i] != 0 && at[i] == name[i]) ++i;
    if (name[i] != 0) continue;
    u32 value = 0;
    for (at += i; *at >= '0' && *at <= '9'; ++at) value = value * 10 + (u32)(*at - '0');
    return value;
  }
  return 1;
}

// Three ticks: a kernel that takes interrupts at all sees them, whatever it has locked before.
static void wait_for_clock(void) {
  const u32 from = ticks;
  const u64 stamp = time_stamp();
  while (ticks - from < 3) {
    if (time_stamp() - stamp > 6000000000ull) panic("the clock does not tick");
    __asm__ volatile("pause");
  }
}

void kernel_begin(const u32* multiboot) {
  const u32 rounds = rounds_of(multiboot);
  memory_begin();
  make_tables();
  platform_begin();
  struct process* first = &processes[0];
  first->directory = space_make();
  turn_paging_on(first->directory);
  timer_begin();
  irq_on();
  const u32 probe = frame_take();
  frame_drop(probe);
  wait_for_clock();
  say("begun\n");
  began = time_stamp();
  begin_program(first, 0, rounds);
  first->state = READY;
  schedule();
}
