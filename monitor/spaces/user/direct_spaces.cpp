#include "monitor/spaces/user/direct_spaces.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "shadowmmu/base/counters.h"

namespace ringshift {
namespace {

constexpr size_t kDirectProcesses = 64;
constexpr size_t kRememberedSensitivePages = 1024;
constexpr uint32_t kBelievedSensitive = 1000;
// The most pages mapped when a program begins to run directly, before it asks: those that it has
// touched so far.
constexpr uint32_t kPagesMappedAhead = 8192;
// At most so many of them with code, since each has to be examined first, which takes some 30 us.
constexpr size_t kCodePagesMappedAhead = 1024;
// And those after one that it asks for.
constexpr uint32_t kNeighbours = 15;

}  // namespace

// ---- processes ----

DirectSpace* DirectSpaces::space() {
  CodeView& view = spaces_.enter(Privilege::User);
  if (view.direct != nullptr || host_ == nullptr) return view.direct.get();
  make_room();
  std::string error;
  view.direct = DirectSpace::create(*host_, resources_.watch.reverse(), resources_.watch.traces(),
                                    resources_.budgets.direct, &error);
  if (view.direct == nullptr) {
    view.policy.give_up();
    return nullptr;
  }
  view.verified_tables.fill(0);
  map_ahead(view);
  return view.direct.get();
}

TimeStampTrap DirectSpaces::time_stamp_trap() const {
  const GuestState& state = resources_.state;
  const bool is_hosts = state.tsc_offset == 0 && (state.cr4 & kCr4Tsd) == 0 &&
                        !verdicts_.rules().features.interpret_time;
  return is_hosts ? TimeStampTrap::Off : TimeStampTrap::On;
}

// The least recently used process goes when there are too many; its code is translated until it
// deserves one again.
void DirectSpaces::make_room() {
  CodeView* oldest = spaces_.users().least_recent_if_full(
      kDirectProcesses, [](const CodeView& view) { return view.direct != nullptr; });
  if (oldest == nullptr) return;
  oldest->direct.reset();
  counters().direct_reclaimed++;
}

void DirectSpaces::end() {
  CodeView& view = spaces_.enter(Privilege::User);
  view.direct.reset();
  view.policy.give_up();
}

void DirectSpaces::end_all() {
  spaces_.users().for_each([](CodeView& view) { view.direct.reset(); });
}

// ---- executable pages ----

bool DirectSpaces::is_known_sensitive(Eip eip) {
  return believes_sensitive(spaces_.enter(Privilege::User),
                            GuestVirtualPage::of(flat_address(eip)));
}

bool DirectSpaces::believes_sensitive(CodeView& view, GuestVirtualPage page) {
  const auto it = view.sensitive_pages.find(page);
  if (it == view.sensitive_pages.end()) return false;
  if (--it->second > 0) return true;
  view.sensitive_pages.erase(it);
  return false;
}

// Guest bytes that user code could execute, copied if they are RAM.
bool DirectSpaces::copy_user_code(GuestVirtual from, std::span<uint8_t> to) const {
  const std::optional<GuestPage> found =
      resources_.pages.look({from, AccessKind::Fetch, Privilege::User});
  if (!found) return false;
  std::memcpy(to.data(), resources_.physical.ram().at(found->translation.physical), to.size());
  return true;
}

// entry: where in the page it is about to be entered, if that is known.
bool DirectSpaces::runs_directly(GuestVirtualPage page, GuestPhysicalPage physical,
                                 std::optional<uint32_t> entry) {
  std::array<uint8_t, kBytesBeforePage + kPageSize + kMaxInstructionBytes> bytes{};
  const std::span<uint8_t> all(bytes);
  const bool before =
      copy_user_code(page.address() - kBytesBeforePage, all.first(kBytesBeforePage));
  std::memcpy(bytes.data() + kBytesBeforePage, resources_.physical.ram().at(physical.address()),
              kPageSize);
  const bool after = copy_user_code((page + 1).address(), all.last(kMaxInstructionBytes));
  const size_t skipped = before ? 0 : kBytesBeforePage;
  const size_t left_out = after ? 0 : kMaxInstructionBytes;
  CodePageBytes known;
  known.bytes = all.subspan(skipped, all.size() - skipped - left_out);
  known.before = before ? kBytesBeforePage : 0;
  const bool runs = verdicts_.runs_directly(known, entry);
  counters().direct_pages_examined = verdicts_.examined();
  return runs;
}

// ---- misses ----

DirectSpaces::Miss DirectSpaces::fill(GuestVirtual address, Eip eip) {
  CodeView& view = spaces_.enter(Privilege::User);
  if (view.direct == nullptr) return Miss::Interpret;
  const GuestVirtualPage page = GuestVirtualPage::of(address);
  const GuestVirtualPage running = GuestVirtualPage::of(flat_address(eip));
  const ShadowMapping* present = view.direct->shadow().find(page);
  const bool executable = present != nullptr && present->is_executable;
  if (page == running && !executable) {
    return fill_code(view, page, eip.offset_in_page());
  }
  // Readable and yet it faulted: the part of the instruction in the next page could not be fetched.
  // (A store to exactly that byte looks the same, and loses nothing.)
  const bool crosses = page == running + 1 && address.offset_in_page() == 0 &&
                       flat_eip(address) - eip < kMaxInstructionBytes;
  if (crosses && present != nullptr && !executable) {
    const Miss miss = fill_code(view, page, std::nullopt);
    return miss == Miss::Sensitive ? Miss::Interpret : miss;
  }
  return fill_data(view, address);
}

bool DirectSpaces::map(CodeView& view, const ShadowRun& run) {
  counters().direct_fills++;
  spaces_.users().note_growth(run.pages);
  // The process holds the descriptor of the machine's own memory, and no other (S1).
  for (uint32_t i = 0; i < run.pages; ++i) resources_.physical.will_write(run.physical_page + i);
  return view.direct->shadow().fill(run);
}

DirectSpaces::Miss DirectSpaces::fill_code(CodeView& view, GuestVirtualPage page,
                                           std::optional<uint32_t> entry) {
  if (believes_sensitive(view, page)) return Miss::Sensitive;
  const std::optional<GuestPage> found =
      resources_.pages.touch({page.address(), AccessKind::Fetch, Privilege::User});
  if (!found) return Miss::Interpret;
  if (!runs_directly(page, found->physical, entry)) {
    counters().direct_pages_sensitive++;
    if (view.sensitive_pages.size() >= kRememberedSensitivePages) view.sensitive_pages.clear();
    view.sensitive_pages[page] = kBelievedSensitive;
    return Miss::Sensitive;
  }
  resources_.watch.trace(found->physical, TraceReason::DirectCode);
  ShadowRun run = GuestPages::run_of(page.address(), *found);
  run.may_execute = true;
  resources_.note_added(view, Region::of(page));
  return map(view, run) ? Miss::Filled : Miss::Interpret;
}

DirectSpaces::Miss DirectSpaces::fill_data(CodeView& view, GuestVirtual address) {
  ShadowSpace& shadow = view.direct->shadow();
  const GuestAccess access{address, AccessKind::Read, Privilege::User};
  const std::optional<MissingPages> missing = resources_.pages.miss(access, shadow);
  if (!missing) return Miss::Interpret;
  const GuestVirtualPage page = GuestVirtualPage::of(address);
  const ShadowMapping* present = shadow.find(page);
  const bool may_write =
      missing->page.may_write() && !resources_.watch.watches(missing->page.physical);
  // Nothing to gain: it is a true fault, or a write that has to be seen (D, a trace).
  if (present != nullptr && (present->is_writable || !may_write)) return Miss::Interpret;
  resources_.pages.mark(access);
  resources_.note_added(view, Region::of(page));
  if (!map(view, missing->run)) return Miss::Interpret;
  if (missing->run.pages == 1) fill_neighbours(view, page);
  return Miss::Filled;
}

void DirectSpaces::fill_neighbours(CodeView& view, GuestVirtualPage page) {
  for (uint32_t i = 1; i <= kNeighbours; ++i) {
    const GuestVirtualPage next = page + i;
    if (Region::of(next) != Region::of(page)) return;
    if (!fill_neighbour(view, next)) return;
  }
}

// A page the guest has used already, so that its A and D bits need no setting. False: nothing is
// there.
bool DirectSpaces::fill_neighbour(CodeView& view, GuestVirtualPage page) {
  const WalkResult result =
      resources_.tables.probe(page.address(), AccessKind::Read, Privilege::User);
  if (result.fault || !GuestTables::is_accessed(result.translation)) return false;
  const std::optional<GuestPage> found = resources_.pages.in_ram(result);
  if (!found || view.direct->shadow().find(page) != nullptr) return true;
  return map(view, GuestPages::run_of(page.address(), *found));
}

// ---- mapping ahead ----

// Maps the pages that the program has touched so far, its code first.
void DirectSpaces::map_ahead(CodeView& view) {
  std::vector<GuestVirtualPage> code;
  code.reserve(std::min(view.pages.size(), kCodePagesMappedAhead));
  for (const auto& [page, physical] : view.pages) {
    if (code.size() == kCodePagesMappedAhead) break;
    code.push_back(page);
  }
  for (GuestVirtualPage page : code) (void)fill_code(view, page, std::nullopt);
  uint32_t left = kPagesMappedAhead;
  for (uint32_t i = 0; i < Region::kCount && left > 0; ++i) {
    const Region region(i);
    if (resources_.tables.has_user_pages(region)) left -= map_region(view, region, left);
  }
}

// At most so many of its pages; how many are mapped now.
uint32_t DirectSpaces::map_region(CodeView& view, Region region, uint32_t most) {
  uint32_t mapped = 0;
  for (uint32_t i = 0; i < Region::kPages && mapped < most; ++i) {
    if (fill_neighbour(view, region.page(i))) ++mapped;
  }
  return mapped;
}

}  // namespace ringshift
