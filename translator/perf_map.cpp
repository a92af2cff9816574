#include "translator/perf_map.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>
#include <vector>

#include "shadowmmu/base/host_files.h"

namespace ringshift {
namespace {

struct TreatmentLetter {
  Treatment treatment;
  char letter;
};
constexpr std::array<TreatmentLetter, 6> kLetters = {{{Treatment::Identical, 'i'},
                                                      {Treatment::Memory, 'm'},
                                                      {Treatment::DirectBranch, 'd'},
                                                      {Treatment::IndirectBranch, 'r'},
                                                      {Treatment::Inline, 's'},
                                                      {Treatment::Interpret, 'x'}}};

}  // namespace

std::string perf_name(const TranslationUnit& unit) {
  std::string name =
      fmt::format("{} {:08x} {}", unit.key.privilege == Privilege::User ? "user" : "kernel",
                  unit.key.eip.value(), unit.key.style == AccessStyle::Window ? "window" : "soft");
  for (const TreatmentLetter& row : kLetters) {
    const auto count = std::count_if(
        unit.instructions.begin(), unit.instructions.end(),
        [&row](const UnitInstruction& one) { return one.treatment == row.treatment; });
    if (count != 0) fmt::format_to(std::back_inserter(name), " {}{}", row.letter, count);
  }
  return name;
}

std::unique_ptr<PerfMap> PerfMap::create(const std::string& path, std::string* error) {
  std::FILE* file = open_host_stream(path, FileUse::Replace);
  if (file == nullptr) {
    *error = "cannot write " + path + ": " + std::strerror(errno);
    return nullptr;
  }
  return std::unique_ptr<PerfMap>(new PerfMap(file));
}

std::string PerfMap::path_of_this_process() { return fmt::format("/tmp/perf-{}.map", getpid()); }

void PerfMap::write(uint64_t address, uint64_t bytes, const std::string& name) {
  fmt::print(file_.get(), "{:x} {:x} {}\n", address, bytes, name);
}

bool PerfMap::finish() {
  if (std::fflush(file_.get()) == 0 && std::ferror(file_.get()) == 0) return true;
  fmt::print(stderr, "ringshift: --perf-map: {} cannot be written: {}\n", path_of_this_process(),
             std::strerror(errno));
  return false;
}

// A stub reaches to the next one.
void PerfMap::add_stubs(const Stubs& stubs) {
  std::vector<std::pair<uint64_t, std::string>> known = {
      {stubs.enter, "enter"},
      {stubs.leave, "leave"},
      {stubs.leave_fault, "leave_fault"},
      {stubs.indirect_miss, "indirect_miss"},
      {stubs.dispatch, "dispatch"},
      {stubs.return_underflow, "return_underflow"},
      {stubs.unlinked, "unlinked"},
      {stubs.interpret, "interpret"},
      {stubs.ensure_fpu, "ensure_fpu"},
      {stubs.event_window, "event_window"},
  };
  for (const auto& by_privilege : stubs.soft) {
    for (const auto& by_kind : by_privilege) {
      for (uint64_t address : by_kind) known.emplace_back(address, "soft_access");
    }
  }
  std::sort(known.begin(), known.end());
  for (size_t i = 0; i < known.size(); ++i) {
    const uint64_t end = i + 1 < known.size() ? known[i + 1].first : stubs.end;
    if (end > known[i].first)
      write(known[i].first, end - known[i].first, "stub " + known[i].second);
  }
  std::fflush(file_.get());
}

void PerfMap::add(const Fragment& fragment, const TranslationUnit& unit) {
  write(fragment.code.address, fragment.size, perf_name(unit));
}

void PerfMap::add_copy(const Fragment& fragment) {
  TranslationUnit unit;
  unit.key = fragment.key;
  write(fragment.code.address, fragment.size, perf_name(unit) + " copy");
}

}  // namespace ringshift
