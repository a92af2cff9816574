// CodeWatch: the pages of RAM that code was made from, those that are the guest's page tables, and
// the consequences of a write to such a page. Owns: the traces, the reverse map, the writes that
// wait for a safe point. One a machine: RAM and the pages that are watched are the same for all
// processors. Keeps: T2 M1 M2 M9. See docs/shadow-mmu.md, "Traces".
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "monitor/memory/physical_memory.h"
#include "monitor/spaces/written_code.h"
#include "shadowmmu/reverse_map.h"
#include "shadowmmu/table_traces.h"
#include "shadowmmu/trace.h"
#include "translator/safe_point.h"
#include "translator/translator.h"

namespace ringshift {

// A processor, as far as what it holds of the guest's pages must follow writes to them.
class CodeHolder {
 public:
  virtual ~CodeHolder() = default;
  // Has it translated anything of this page?
  [[nodiscard]] virtual bool has_code(GuestPhysicalPage page) const = 0;
  // May a fragment of it come from these bytes? Pre: they lie in one page.
  [[nodiscard]] virtual bool may_hold_code(GuestPhysical address, uint32_t length) const = 0;
  // Adds the bytes of the page that it has translated.
  virtual void add_code_bytes(GuestPhysicalPage page, CodeBytes* bytes) const = 0;
  virtual void drop_code(GuestPhysical address, uint32_t length, const SafePoint& safe) = 0;
  // From now on a write to this page must be seen: paths of its own that write without a shadow
  // space's mapping are forgotten.
  virtual void forget_write_paths(GuestPhysicalPage page) = 0;
};

class CodeWatch final : public WriteObserver, public CodeTraces {
 public:
  explicit CodeWatch(uint64_t ram_bytes)
      : traces_(ram_bytes), tables_(traces_), reverse_(ram_bytes) {}
  // Wiring, once. Null: nobody has code.
  void attach(CodeHolder* holder) { holder_ = holder; }

  [[nodiscard]] TraceTable& traces() { return traces_; }
  [[nodiscard]] const TraceTable& traces() const { return traces_; }
  [[nodiscard]] TableTraces& tables() { return tables_; }
  [[nodiscard]] const TableTraces& tables() const { return tables_; }
  [[nodiscard]] ReverseMap& reverse() { return reverse_; }

  // WriteObserver
  [[nodiscard]] bool watches(GuestPhysicalPage page) const override {
    return traces_.is_traced(page);
  }
  void on_write(GuestPhysical address, uint32_t length) override;
  void on_moved(const PageRange& pages, Backing now) override;
  [[nodiscard]] bool is_shown_outside(GuestPhysicalPage page) override;
  // CodeTraces
  void ensure_code_trace(GuestPhysical first, uint32_t length) override;
  // Every write to the page is seen from now on, whatever path it takes (M1). reason: one of code.
  void trace(GuestPhysicalPage page, TraceReason reason);
  // The same of a page table, which has a place in tables(). content: TableTraces::begin. A space
  // that cannot take rights away drops all it has, so no space is being looked through.
  void trace_table(GuestPhysicalPage page, uint64_t content);
  // Is it traced as a page table, and as nothing else?
  [[nodiscard]] bool is_table_only(GuestPhysicalPage page) const {
    return traces_.is_traced_for(page, TraceReason::PageTable) && !traces_.is_traced_for_code(page);
  }

  // The bytes that may not be written unseen, of a page that is traced for translated code and for
  // nothing else. Valid until forget_write_paths(page). Null: all of them.
  [[nodiscard]] const CodeBytes* code_bytes(GuestPhysicalPage page);
  // Is this what generated code may go by?
  [[nodiscard]] bool are_code_bytes(GuestPhysicalPage page, uint64_t base,
                                    GuestVirtualPage linear) const;

  // Drops the code that the writes noted so far have changed.
  void apply(const SafePoint& safe);
  [[nodiscard]] bool has_pending_work() const { return !pending_.empty(); }

 private:
  struct Write {
    GuestPhysical address;
    uint32_t length;
  };
  void end_write_paths(GuestPhysicalPage page);
  void end_code_bytes(GuestPhysicalPage page);
  void refresh(GuestPhysicalPage page, CodeBytes* bytes) const;
  void merge_pending();
  void revoke_direct_execution(GuestPhysicalPage page);

  CodeHolder* holder_ = nullptr;
  TraceTable traces_;
  TableTraces tables_;
  ReverseMap reverse_;
  WrittenCode written_code_;
  std::vector<Write> pending_;
  static constexpr size_t kMostPending = 4096;
  size_t most_pending_ = kMostPending;  // before they are merged
};

}  // namespace ringshift
