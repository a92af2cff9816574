// Paging: the shadow page tables of a small guest at work: each fault, its outcome, and the
// contents of the shadow afterwards. The shadow is read from the host's own map of this process
// (/proc/self/maps), not from our records of it; guest tables are walked by the book. See
// docs/lab.md, docs/shadow-mmu.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "monitor/lab/paging_tables.h"
#include "monitor/lab/parts/drawing.h"
#include "monitor/lab/parts/html.h"
#include "monitor/machine/machine.h"

namespace ringshift::lab {

enum class PagingEventKind : uint8_t {
  Hidden,      // filled, unseen by the guest
  Trace,       // the window may not serve it: interpreted
  TrueFault,   // delivered to the guest
  CodeWrite,   // bytes that had been translated have changed: translations dropped
  Invalidate,  // INVLPG
  Flush,       // CR3 or the paging mode
};
[[nodiscard]] const char* paging_event_name(PagingEventKind kind);

// A run of pages, contiguous on both sides.
struct PageRun {
  uint32_t linear = 0;
  uint32_t pages = 0;
  uint64_t physical = 0;
  bool writable = false;
  bool dirty = false;  // guest tables only
  bool user = false;   // guest tables only
};

struct PagingEvent {
  PagingEventKind kind = PagingEventKind::Hidden;
  uint32_t eip = 0;
  uint32_t address = 0;
  bool is_write = false;
  std::string instruction;      // at EIP, in assembly
  std::vector<PageRun> shadow;  // after it
  TableMoment tables;           // after it
};

struct PagingReport {
  std::string image, end;
  std::vector<PagingEvent> events;
  uint64_t events_left_out = 0;
  std::vector<PageRun> guest;    // the guest's tables when it ended
  std::vector<PageRun> shadow;   // the window then
  std::vector<uint64_t> traced;  // guest-physical pages watched for writes
};

// The pages that the guest's tables map now, lowest first.
[[nodiscard]] std::vector<PageRun> guest_tables(Machine& machine);
[[nodiscard]] bool watch_paging(const MachineConfig& config, double seconds, PagingReport* report,
                                std::string* error);
[[nodiscard]] std::string paging_finding(const PagingReport& report);
[[nodiscard]] std::string paging_as_text(const PagingReport& report);
[[nodiscard]] std::string paging_as_json(const PagingReport& report);
[[nodiscard]] std::vector<Picture> paging_pictures(const PagingReport& report);
[[nodiscard]] std::string paging_as_html(const PagingReport& report, Company company);

}  // namespace ringshift::lab
