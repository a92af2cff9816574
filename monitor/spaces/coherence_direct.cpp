// The part of Coherence that keeps what sandboxed processes have mapped true.
#include <algorithm>
#include <array>
#include <cstring>

#include "monitor/spaces/coherence.h"
#include "shadowmmu/base/counters.h"
#include "shadowmmu/walker.h"

namespace ringshift {
namespace {

constexpr size_t kDirectProcesses = 64;
constexpr size_t kRememberedSensitivePages = 1024;
constexpr uint32_t kBelievedSensitive = 1000;
// Pages mapped when a program goes direct, before it asks: what it has touched so far.
constexpr uint32_t kPagesMappedAhead = 8192;
// Of those with code, each of which has to be examined first, for some 30 us.
constexpr size_t kCodePagesMappedAhead = 1024;
// And those after one that it asks for.
constexpr uint32_t kNeighbours = 15;
constexpr uint32_t kRegionPages = 1024;

}  // namespace

void Coherence::attach_direct(DirectHost* host, const DirectRules& rules) {
  direct_host_ = host;
  code_verdicts_ = CodePageVerdicts(rules);
}

// ---- processes ----

DirectSpace* Coherence::direct_space() {
  CodeView& view = current_user_view();
  if (view.direct != nullptr || direct_host_ == nullptr) return view.direct.get();
  make_room_for_direct();
  std::string error;
  view.direct = DirectSpace::create(*direct_host_, reverse_, traces_, budgets_.direct, &error);
  if (view.direct == nullptr) {
    view.policy.give_up();
    return nullptr;
  }
  view.verified_tables.fill(0);
  map_direct_ahead(view);
  return view.direct.get();
}

TimeStampTrap Coherence::direct_time_stamp_trap() const {
  const bool is_hosts = state_.tsc_offset == 0 && (state_.cr4 & kCr4Tsd) == 0 &&
                        !code_verdicts_.rules().features.interpret_time;
  return is_hosts ? TimeStampTrap::Off : TimeStampTrap::On;
}

// The least recently used process goes when there are too many; its code is translated until it
// deserves one again.
void Coherence::make_room_for_direct() {
  CodeView* oldest = least_recent_if_full(
      kDirectProcesses, [](const CodeView& view) { return view.direct != nullptr; });
  if (oldest == nullptr) return;
  oldest->direct.reset();
  counters().direct_reclaimed++;
}

void Coherence::end_direct() {
  CodeView& view = current_user_view();
  view.direct.reset();
  view.policy.give_up();
}

void Coherence::end_all_direct() {
  for (auto& [cr3, view] : users_) view.direct.reset();
}

// ---- what may be executed ----

bool Coherence::is_known_sensitive(uint32_t eip) {
  return believes_sensitive(current_user_view(), GuestVirtualPage::of(GuestVirtual(eip)));
}

bool Coherence::believes_sensitive(CodeView& view, GuestVirtualPage page) {
  const auto it = view.sensitive_pages.find(page);
  if (it == view.sensitive_pages.end()) return false;
  if (--it->second > 0) return true;
  view.sensitive_pages.erase(it);
  return false;
}

// Guest bytes that user code could execute, copied if they are RAM.
bool Coherence::copy_user_code(GuestVirtual from, std::span<uint8_t> to) {
  const WalkResult found = probe(mode_, physical_, from, AccessKind::Fetch, Privilege::User);
  if (found.fault) return false;
  const GuestPhysical at = physical_.masked(found.translation.physical);
  if (!physical_.is_ram(GuestPhysicalPage::of(at))) return false;
  std::memcpy(to.data(), physical_.ram().at(at), to.size());
  return true;
}

// entry: where in the page it is about to be entered, if that is known.
bool Coherence::code_runs_directly(GuestVirtualPage page, GuestPhysicalPage physical,
                                   std::optional<uint32_t> entry) {
  std::array<uint8_t, kBytesBeforePage + kPageSize + kMaxInstructionBytes> bytes{};
  const std::span<uint8_t> all(bytes);
  const bool before =
      copy_user_code(page.address() - kBytesBeforePage, all.first(kBytesBeforePage));
  std::memcpy(bytes.data() + kBytesBeforePage, physical_.ram().at(physical.address()), kPageSize);
  const bool after = copy_user_code((page + 1).address(), all.last(kMaxInstructionBytes));
  const size_t skipped = before ? 0 : kBytesBeforePage;
  const size_t left_out = after ? 0 : kMaxInstructionBytes;
  CodePageBytes known;
  known.bytes = all.subspan(skipped, all.size() - skipped - left_out);
  known.before = before ? kBytesBeforePage : 0;
  const bool runs = code_verdicts_.runs_directly(known, entry);
  counters().direct_pages_examined = code_verdicts_.examined();
  return runs;
}

void Coherence::revoke_direct_execution(GuestPhysicalPage page) {
  if (!traces_.is_traced(page)) return;
  ShadowSpace::revoke_execution_all(reverse_.of(page));
  traces_.remove(page, TraceReason::DirectCode);
}

// ---- misses ----

Coherence::DirectMiss Coherence::fill_direct(GuestVirtual address, uint32_t eip) {
  CodeView& view = current_user_view();
  if (view.direct == nullptr) return DirectMiss::Interpret;
  const GuestVirtualPage page = GuestVirtualPage::of(address);
  const GuestVirtualPage running = GuestVirtualPage::of(GuestVirtual(eip));
  const ShadowMapping* present = view.direct->shadow().find(page);
  const bool executable = present != nullptr && present->is_executable;
  if (page == running && !executable) {
    return fill_direct_code(view, page, GuestVirtual(eip).offset_in_page());
  }
  // Readable and yet it faulted: the part of the instruction in the next page could not be fetched.
  // (A store to exactly that byte looks the same, and loses nothing.)
  const bool crosses = page == running + 1 && address.offset_in_page() == 0 &&
                       address.value() - eip < kMaxInstructionBytes;
  if (crosses && present != nullptr && !executable) {
    const DirectMiss miss = fill_direct_code(view, page, std::nullopt);
    return miss == DirectMiss::Sensitive ? DirectMiss::Interpret : miss;
  }
  return fill_direct_data(view, address);
}

Coherence::DirectMiss Coherence::fill_direct_code(CodeView& view, GuestVirtualPage page,
                                                  std::optional<uint32_t> entry) {
  if (believes_sensitive(view, page)) return DirectMiss::Sensitive;
  const WalkResult result =
      walk(mode_, physical_, page.address(), AccessKind::Fetch, Privilege::User);
  if (result.fault) return DirectMiss::Interpret;
  const GuestPhysicalPage physical =
      GuestPhysicalPage::of(physical_.masked(result.translation.physical));
  if (!physical_.is_ram(physical)) return DirectMiss::Interpret;
  if (!code_runs_directly(page, physical, entry)) {
    counters().direct_pages_sensitive++;
    if (view.sensitive_pages.size() >= kRememberedSensitivePages) view.sensitive_pages.clear();
    view.sensitive_pages[page] = kBelievedSensitive;
    return DirectMiss::Sensitive;
  }
  trace_page(physical, TraceReason::DirectCode);
  ShadowRun run;
  run.virtual_page = page;
  run.physical_page = physical;
  run.may_write = result.translation.writable && result.translation.dirty;
  run.may_execute = true;
  run.is_large = result.translation.page_bytes > kPageSize;
  run.is_global = result.translation.global;
  view.verified_tables[page.number() / kRegionPages] = 0;
  counters().direct_fills++;
  note_growth(run.pages);
  return view.direct->shadow().fill(run) ? DirectMiss::Filled : DirectMiss::Interpret;
}

Coherence::DirectMiss Coherence::fill_direct_data(CodeView& view, GuestVirtual address) {
  ShadowSpace& shadow = view.direct->shadow();
  const WalkResult result = walk(mode_, physical_, address, AccessKind::Read, Privilege::User);
  if (result.fault) return DirectMiss::Interpret;
  const Translation& found = result.translation;
  const GuestVirtualPage page = GuestVirtualPage::of(address);
  const GuestPhysicalPage physical = GuestPhysicalPage::of(physical_.masked(found.physical));
  if (!physical_.is_ram(physical)) return DirectMiss::Interpret;
  const bool may_write = found.writable && found.dirty && !traces_.is_traced(physical);
  const ShadowMapping* present = shadow.find(page);
  // Nothing to gain: it is a true fault, or a write that has to be seen (D, a trace).
  if (present != nullptr && (present->is_writable || !may_write)) return DirectMiss::Interpret;
  ShadowRun run = run_for(address, found);
  if (present != nullptr && run.pages > 1) {
    run.virtual_page = page;
    run.physical_page = physical;
    run.pages = 1;
  }
  view.verified_tables[address.value() >> 22] = 0;
  counters().direct_fills++;
  note_growth(run.pages);
  if (!shadow.fill(run)) return DirectMiss::Interpret;
  for (uint32_t i = 1; i <= kNeighbours && run.pages == 1; ++i) {
    const GuestVirtualPage next = page + i;
    if (next.number() / kRegionPages != page.number() / kRegionPages) break;
    if (!map_direct_neighbour(view, next)) break;
  }
  return DirectMiss::Filled;
}

// A page the guest has used already, so that its A and D bits need no setting. False: nothing is
// there.
bool Coherence::map_direct_neighbour(CodeView& view, GuestVirtualPage page) {
  ShadowSpace& shadow = view.direct->shadow();
  const WalkResult result =
      probe(mode_, physical_, page.address(), AccessKind::Read, Privilege::User);
  if (result.fault || !entry_is_accessed(result.translation)) return false;
  const GuestPhysicalPage physical =
      GuestPhysicalPage::of(physical_.masked(result.translation.physical));
  if (shadow.find(page) != nullptr || !physical_.is_ram(physical)) return true;
  ShadowRun run = run_for(page.address(), result.translation);
  run.virtual_page = page;
  run.physical_page = physical;
  run.pages = 1;
  counters().direct_fills++;
  note_growth(run.pages);
  return shadow.fill(run);
}

// ---- mapping ahead ----

// What the program has touched so far, its code first.
void Coherence::map_direct_ahead(CodeView& view) {
  std::vector<GuestVirtualPage> code;
  code.reserve(std::min(view.pages.size(), kCodePagesMappedAhead));
  for (const auto& [page, physical] : view.pages) {
    if (code.size() == kCodePagesMappedAhead) break;
    code.push_back(page);
  }
  for (GuestVirtualPage page : code) (void)fill_direct_code(view, page, std::nullopt);
  uint32_t left = kPagesMappedAhead;
  for (uint32_t region = 0; region < kRegions && left > 0; ++region) {
    if (region_has_user_pages(region)) left -= map_direct_region(view, region, left);
  }
}

// At most so many of its pages; how many are mapped now.
uint32_t Coherence::map_direct_region(CodeView& view, uint32_t region, uint32_t most) {
  uint32_t mapped = 0;
  for (uint32_t i = 0; i < kRegionPages && mapped < most; ++i) {
    if (map_direct_neighbour(view, GuestVirtualPage(region * kRegionPages + i))) ++mapped;
  }
  return mapped;
}

bool Coherence::region_has_user_pages(uint32_t region) {
  constexpr uint64_t kPresentUser = 5;
  auto serves = [](uint64_t entry) { return (entry & kPresentUser) == kPresentUser; };
  if (!mode_.pae) {
    const GuestPhysical directory(mode_.cr3 & 0xfffff000U);
    return serves(physical_.read_entry32(directory + region * 4));
  }
  const uint64_t pointer = mode_.pdpte[region >> 8];
  if ((pointer & 1) == 0) return false;
  const GuestPhysical first((pointer & 0xffffff000U) + (region & 0xffU) * 16);
  return serves(physical_.read_entry64(first)) || serves(physical_.read_entry64(first + 8));
}

}  // namespace ringshift
