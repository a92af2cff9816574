#include "tests/differential/report.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace ringshift::differential {
namespace {

constexpr uint32_t kPageFault = 14;
constexpr size_t kMxcsrAt = 24, kStBytes = 10, kXmmBytes = 16, kStAt = 32, kXmmAt = 160;

// Not user/supervisor: the rings differ on purpose.
uint32_t comparable_error(const Outcome& outcome) {
  return outcome.vector == kPageFault ? outcome.error_code & (kPageFaultPresent | kPageFaultWrite)
                                      : outcome.error_code;
}

std::string hex(uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof(text), "%08x", value);
  return text;
}

std::string bytes_of(const Outcome& outcome, size_t at, size_t count) {
  std::string text;
  for (size_t i = count; i-- > 0;) {
    char digits[4];
    std::snprintf(digits, sizeof(digits), "%02x", outcome.fxsave[at + i]);
    text += digits;
  }
  return text;
}

struct FpuField {
  const char* name;
  size_t at;
  size_t count;
};
// SDM 1 table 10-2.
constexpr std::array<FpuField, 20> kFpuFields = {{{"fcw", 0, 2},
                                                  {"fsw", 2, 2},
                                                  {"ftw", 4, 1},
                                                  {"mxcsr", 24, 4},
                                                  {"st0", kStAt, kStBytes},
                                                  {"st1", kStAt + 16, kStBytes},
                                                  {"st2", kStAt + 32, kStBytes},
                                                  {"st3", kStAt + 48, kStBytes},
                                                  {"st4", kStAt + 64, kStBytes},
                                                  {"st5", kStAt + 80, kStBytes},
                                                  {"st6", kStAt + 96, kStBytes},
                                                  {"st7", kStAt + 112, kStBytes},
                                                  {"xmm0", kXmmAt, kXmmBytes},
                                                  {"xmm1", kXmmAt + 16, kXmmBytes},
                                                  {"xmm2", kXmmAt + 32, kXmmBytes},
                                                  {"xmm3", kXmmAt + 48, kXmmBytes},
                                                  {"xmm4", kXmmAt + 64, kXmmBytes},
                                                  {"xmm5", kXmmAt + 80, kXmmBytes},
                                                  {"xmm6", kXmmAt + 96, kXmmBytes},
                                                  {"xmm7", kXmmAt + 112, kXmmBytes}}};

std::string flags_text(uint32_t flags) {
  constexpr std::array<std::pair<uint32_t, char>, 7> kNames = {{{kFlagOf, 'O'},
                                                                {kFlagDf, 'D'},
                                                                {kFlagSf, 'S'},
                                                                {kFlagZf, 'Z'},
                                                                {kFlagAf, 'A'},
                                                                {kFlagPf, 'P'},
                                                                {kFlagCf, 'C'}}};
  std::string text;
  for (const auto& [bit, name] : kNames) text += (flags & bit) != 0 ? name : '-';
  return text;
}

// The first places where memory differs.
std::string first_differences(const Case& test, const std::vector<Run>& runs) {
  constexpr int kShown = 8;
  std::string text;
  int shown = 0;
  for (uint32_t at = 0; at < kDataBytes && shown < kShown; at += 4) {
    const auto dword = [at](const uint8_t* data) {
      uint32_t value;
      std::memcpy(&value, data + at, 4);
      return value;
    };
    bool differs = false;
    for (const Run& run : runs) {
      differs |= dword(run.outcome.data.data()) != dword(runs[0].outcome.data.data());
    }
    if (!differs) continue;
    ++shown;
    text += "  [" + hex(kDataBase + at) + "] " + hex(dword(test.data().data()));
    for (const Run& run : runs) {
      const bool star = dword(run.outcome.data.data()) != dword(runs[0].outcome.data.data());
      text += std::string(star ? " *" : "  ") + hex(dword(run.outcome.data.data()));
    }
    text += "\n";
  }
  return text;
}

std::string row(const std::string& name, const std::string& start,
                const std::vector<std::string>& values) {
  const size_t width = std::max<size_t>(9, values[0].size() + 1);
  const auto padded = [](std::string text, size_t to) {
    text.resize(std::max(to, text.size()), ' ');
    return text;
  };
  std::string text = "  " + padded(name, 7) + padded(start, width);
  for (const std::string& value : values) {
    text += (value == values[0] ? ' ' : '*') + padded(value, width);
  }
  while (text.back() == ' ') text.pop_back();
  return text + "\n";
}

template <typename Value>
std::vector<std::string> each(const std::vector<Run>& runs, Value value) {
  std::vector<std::string> values;
  values.reserve(runs.size());
  for (const Run& run : runs) values.push_back(value(run.outcome));
  return values;
}

std::string fpu_rows(const Case& test, const std::vector<Run>& runs) {
  Outcome start;
  start.fxsave = test.start.fxsave;
  std::string text;
  for (const FpuField& field : kFpuFields) {
    const auto value = [&](const Outcome& outcome) {
      return bytes_of(outcome, field.at, field.count);
    };
    const std::vector<std::string> values = each(runs, value);
    const std::string before = value(start);
    const bool still = std::all_of(values.begin(), values.end(),
                                   [&](const std::string& now) { return now == before; });
    if (!still || field.count <= 4) text += row(field.name, before, values);
  }
  return text;
}

}  // namespace

bool same(const Expected& expected, const Outcome& actual) {
  const Outcome& want = expected.outcome;
  if (want.vector != actual.vector || want.eip != actual.eip || want.gpr != actual.gpr) {
    return false;
  }
  const uint32_t flags = kFlagsCompared & ~expected.undefined_flags;
  if (((want.eflags ^ actual.eflags) & flags) != 0) return false;
  if (comparable_error(want) != comparable_error(actual)) return false;
  if (want.vector == kPageFault && ((want.cr2 ^ actual.cr2) & expected.cr2_mask) != 0) return false;
  if (((want.fxsave[kMxcsrAt] ^ actual.fxsave[kMxcsrAt]) & expected.mxcsr_mask) != 0) return false;
  for (const FpuField& field : kFpuFields) {
    if (field.at == kMxcsrAt && expected.mxcsr_mask != 0xff) continue;
    const bool is_x87 = field.at < kMxcsrAt || (field.at >= kStAt && field.at < kXmmAt);
    if (is_x87 && !expected.x87_compared) continue;
    if (std::memcmp(&want.fxsave[field.at], &actual.fxsave[field.at], field.count) != 0) {
      return false;
    }
  }
  return want.data == actual.data;
}

std::string table(const Case& test, const Expected& expected, const std::vector<Run>& runs) {
  static constexpr std::array<const char*, kGprCount> kNames = {"eax", "ecx", "edx", "ebx",
                                                                "esp", "ebp", "esi", "edi"};
  std::string text = "  " + std::string(7, ' ') + "start    ";
  for (const Run& run : runs) text += " " + run.name + std::string(9 - run.name.size(), ' ');
  text += "\n";
  for (size_t i = 0; i < kGprCount; ++i) {
    text += row(kNames[i], hex(test.start.gpr[i]),
                each(runs, [i](const Outcome& outcome) { return hex(outcome.gpr[i]); }));
  }
  text += row("eip", hex(test.start.eip),
              each(runs, [](const Outcome& outcome) { return hex(outcome.eip); }));
  const uint32_t undefined = expected.undefined_flags;
  text += row("flags", flags_text(test.start.eflags), each(runs, [&](const Outcome& outcome) {
                return flags_text(outcome.eflags & ~undefined);
              }));
  text += "  (undefined: " + flags_text(undefined) + ")\n";
  text += row("vector", "", each(runs, [](const Outcome& outcome) {
                return outcome.vector == kStopped  ? std::string("end")
                       : outcome.vector == kNotRun ? std::string("?")
                                                   : std::to_string(outcome.vector);
              }));
  text += row("error", "",
              each(runs, [](const Outcome& outcome) { return hex(comparable_error(outcome)); }));
  text += row("cr2", "", each(runs, [](const Outcome& outcome) {
                return outcome.vector == kPageFault ? hex(outcome.cr2) : std::string("-");
              }));
  text += fpu_rows(test, runs);
  const bool all_have_data = std::all_of(runs.begin(), runs.end(), [](const Run& run) {
    return run.outcome.data.size() == kDataBytes;
  });
  if (all_have_data) text += first_differences(test, runs);
  for (const Run& run : runs) {
    if (!run.outcome.message.empty()) text += "  " + run.name + ": " + run.outcome.message + "\n";
  }
  return text;
}

}  // namespace ringshift::differential
