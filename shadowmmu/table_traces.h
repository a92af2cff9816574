// TableTraces: the guest's page tables that are write-traced, and the version of each: a number
// that changes whenever anybody but our own walker writes to it. Equal versions spare looking at 4
// KiB of entries. Owns: which tables, bounded in number; the counts that decide. Does not own: the
// trace bits and their enforcement (the caller sets these before a trace begins). Keeps: M9. See
// docs/shadow-mmu.md, "Traced tables".
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "shadowmmu/base/address.h"
#include "shadowmmu/trace.h"

namespace ringshift {

// The way in which held entries follow the guest's tables (`--shadow`).
enum class ShadowPolicy : uint8_t {
  Tlb,    // tables are not traced: a flush compares by hash
  Trace,  // every table behind a verified mapping is traced
  Auto,   // a table that is compared again and again without having been written
};

// A page table, and the directory entry that leads to it.
struct TableLink {
  GuestPhysicalPage table;
  GuestPhysical entry;
  bool is_wide = false;  // of 8 bytes
};

class TableTraces {
 public:
  static constexpr uint32_t kMostTables = 1024;
  // Auto: comparisons without a change after which a trace, some 10 us, begins to pay.
  static constexpr uint32_t kFirstThreshold = 32;
  static constexpr uint32_t kLastThreshold = 4096;

  explicit TableTraces(TraceTable& traces);

  // Wiring, once. most: tables traced at a time, of kMostTables.
  void set_policy(ShadowPolicy policy, uint32_t most);
  [[nodiscard]] ShadowPolicy policy() const { return policy_; }
  // Does the directory entry still lead to the table?
  using IsLinked = std::function<bool(const TableLink& link)>;
  void set_is_linked(IsLinked is_linked) { is_linked_ = std::move(is_linked); }

  // The result of comparing a table with its known content.
  enum class Finding : uint8_t { Same, Changed, New };
  // epoch: of the guest's flushes; a table counts once in each. True: it is time to begin a trace.
  [[nodiscard]] bool note_compared(const TableLink& link, Finding finding, uint64_t epoch);
  // Every write to the table is seen from here on. content: a number that stands for its contents
  // now.
  void begin(GuestPhysicalPage table, uint64_t content);
  // The table's version, never 0; 0: it is not traced. Called in place of a comparison, and counted
  // as one.
  [[nodiscard]] uint64_t ask(GuestPhysicalPage table) {
    Table& entry = place_of(table);
    if (entry.link.table != table || entry.version == 0) return 0;
    ++entry.asked;
    return entry.version;
  }
  [[nodiscard]] bool is_any() const { return traced_ != 0; }
  [[nodiscard]] uint32_t traced() const { return traced_; }

  // A write from outside generated code, or one found by a soft store's mark.
  void note_write(GuestPhysicalPage table);
  void note_mark(GuestPhysicalPage table);
  // A store that no trace should stop is about to be made to a page that is traced as a table.
  // True: it is not traced any more.
  [[nodiscard]] bool gives_way(GuestPhysicalPage table);
  // All tables may be other than they were: RAM was changed from outside, or means something else.
  void forget_all();

  // A number that stands for the bytes but for A and D, which the walker sets unseen; the bytes.
  using Bytes = std::function<std::span<const uint8_t>(GuestPhysicalPage page)>;
  // True: each table is as it was when its version was last looked at here.
  void verify_invariants(const Bytes& bytes) const;

 private:
  struct Table {
    TableLink link{GuestPhysicalPage(~uint64_t{0}), GuestPhysical(0), false};
    uint64_t version = 0;  // 0: not traced
    uint64_t epoch = 0;    // in which it was last compared
    uint32_t points = 0;   // comparisons without a change
    uint32_t threshold = kFirstThreshold;
    uint32_t asked = 0;  // while it is traced; and how often it had changed
    uint32_t changed = 0;
    uint32_t asked_before = 0;  // when another table last wanted its place
    // For verify_invariants: the table's contents in that version.
    mutable uint64_t seen_version = 0;
    mutable uint64_t seen_content = 0;
  };
  [[nodiscard]] Table& place_of(GuestPhysicalPage table) const {
    return (*tables_)[table.number() % kMostTables];
  }
  [[nodiscard]] Table* traced_at(GuestPhysicalPage table) const;
  [[nodiscard]] Table* claim(GuestPhysicalPage table);
  void change(Table& table);
  void let_go(Table& table);
  [[nodiscard]] uint64_t next_version();

  TraceTable& traces_;
  ShadowPolicy policy_ = ShadowPolicy::Tlb;
  uint32_t most_ = 0;
  uint32_t traced_ = 0;
  uint64_t clock_ = 0;
  IsLinked is_linked_;
  std::unique_ptr<std::array<Table, kMostTables>> tables_;
};

}  // namespace ringshift
