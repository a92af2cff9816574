// Frames, and address spaces of one table of user pages each: made, forked with copies that are put
// off until somebody writes, cleared.
#include "kernel.h"

enum { POOL_BEGIN = 0x400000, POOL_END = 0x1000000, KERNEL_TABLES = 4, ENTRIES = 1024 };
enum { USER_ENTRY = USER_BEGIN >> 22, STACK_PAGES = 16 };

static u16 users[(POOL_END - POOL_BEGIN) / PAGE];
static u32 next_frame, in_use;
static u32 kernel_tables[KERNEL_TABLES][ENTRIES] __attribute__((aligned(4096)));

static int is_pool(u32 physical) { return physical >= POOL_BEGIN && physical < POOL_END; }
static u16* users_of(u32 physical) { return &users[(physical - POOL_BEGIN) / PAGE]; }

static void fill(u32 physical, u32 value) {
  u32* words = (u32*)physical;
  for (u32 i = 0; i < ENTRIES; ++i) words[i] = value;
}

void memory_begin(void) {
  for (u32 i = 0; i < KERNEL_TABLES * ENTRIES; ++i) {
    kernel_tables[i / ENTRIES][i % ENTRIES] = i * PAGE | PTE_PRESENT | PTE_WRITE;
  }
}

// A frame of zeros.
u32 frame_take(void) {
  const u32 saved = irq_save();
  for (u32 i = 0; i < sizeof users / sizeof users[0]; ++i) {
    const u32 at = (next_frame + i) % (sizeof users / sizeof users[0]);
    if (users[at] != 0) continue;
    users[at] = 1;
    next_frame = at + 1;
    ++in_use;
    irq_restore(saved);
    fill(POOL_BEGIN + at * PAGE, 0);
    return POOL_BEGIN + at * PAGE;
  }
  panic("out of memory");
}

void frame_share(u32 physical) {
  const u32 saved = irq_save();
  if (is_pool(physical)) ++*users_of(physical);
  irq_restore(saved);
}

void frame_drop(u32 physical) {
  const u32 saved = irq_save();
  if (is_pool(physical) && --*users_of(physical) == 0) --in_use;
  irq_restore(saved);
}

u32 frames_in_use(void) { return in_use; }

static u32* user_table(u32 directory) {
  return (u32*)(((u32*)directory)[USER_ENTRY] & ~(PAGE - 1));
}
static u32* entry_of(u32 directory, u32 linear) {
  return user_table(directory) + (linear - USER_BEGIN) / PAGE;
}

u32 space_make(void) {
  const u32 directory = frame_take(), table = frame_take();
  u32* entries = (u32*)directory;
  for (u32 i = 0; i < KERNEL_TABLES; ++i) {
    entries[i] = (u32)kernel_tables[i] | PTE_PRESENT | PTE_WRITE;
  }
  entries[USER_ENTRY] = table | PTE_PRESENT | PTE_WRITE | PTE_USER;
  table_made(directory);
  table_made(table);
  return directory;
}

void space_clear(u32 directory) {
  u32* table = user_table(directory);
  for (u32 i = 0; i < ENTRIES; ++i) {
    if ((table[i] & PTE_PRESENT) == 0) continue;
    const u32 frame = table[i] & ~(PAGE - 1);
    update_entry(&table[i], 0, USER_BEGIN + i * PAGE);
    frame_drop(frame);
  }
  update_commit();
}

void space_free(u32 directory) {
  const u32 table = (u32)user_table(directory);
  space_clear(directory);
  table_freed(table);
  table_freed(directory);
  frame_drop(table);
  frame_drop(directory);
}

void space_fork(u32 from, u32 to) {
  u32 *old = user_table(from), *made = user_table(to);
  for (u32 i = 0; i < ENTRIES; ++i) {
    u32 entry = old[i];
    if ((entry & PTE_PRESENT) == 0) continue;
    if ((entry & PTE_WRITE) != 0) {
      entry = (entry & ~PTE_WRITE) | PTE_COPY;
      update_entry(&old[i], entry, USER_BEGIN + i * PAGE);
    }
    update_entry(&made[i], entry, 0);
    frame_share(entry & ~(PAGE - 1));
  }
  update_commit();
}

void space_map(u32 directory, u32 linear, u32 pages) {
  for (u32 i = 0; i < pages; ++i, linear += PAGE) {
    update_entry(entry_of(directory, linear), frame_take() | PTE_PRESENT | PTE_WRITE | PTE_USER, 0);
  }
  update_commit();
}

void space_unmap(u32 directory, u32 linear, u32 pages) {
  for (u32 i = 0; i < pages; ++i, linear += PAGE) {
    u32* entry = entry_of(directory, linear);
    const u32 old = *entry;
    if ((old & PTE_PRESENT) == 0) continue;
    update_entry(entry, 0, linear);
    frame_drop(old & ~(PAGE - 1));
  }
  update_commit();
}

void space_load_program(u32 directory) {
  u32 linear = USER_BEGIN;
  for (u8* page = user_image; page < user_image_end; page += PAGE, linear += PAGE) {
    update_entry(entry_of(directory, linear), (u32)page | PTE_PRESENT | PTE_USER | PTE_COPY, 0);
  }
  update_commit();
}

static void copy_frame(u32 from, u32 to) {
  for (u32 i = 0; i < ENTRIES; ++i) ((u32*)to)[i] = ((u32*)from)[i];
}

int space_fault(u32 directory, u32 linear, u32 error) {
  if (linear < USER_BEGIN || linear >= USER_STACK) return 0;
  linear &= ~(PAGE - 1);
  u32* entry = entry_of(directory, linear);
  if ((*entry & PTE_PRESENT) == 0) {
    if (linear < USER_STACK - STACK_PAGES * PAGE) return 0;
    space_map(directory, linear, 1);
    return 1;
  }
  if ((error & 2) == 0 || (*entry & PTE_COPY) == 0) return 0;
  const u32 old = *entry & ~(PAGE - 1);
  u32 frame = old;
  if (!is_pool(old) || *users_of(old) != 1) {
    frame = frame_take();
    copy_frame(old, frame);
    frame_drop(old);
  }
  update_entry(entry, frame | PTE_PRESENT | PTE_WRITE | PTE_USER, linear);
  update_commit();
  return 1;
}
