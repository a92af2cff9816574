// Golden tests: tests/golden/<family>/<name>.asm, assembled and translated, against
// <name>.expected. A case's first lines may set "; style: soft", "; privilege: user", "; soft site:
// N" (offset of an instruction), "; odd return: N" (of a call's last byte) and "; origin:
// 0xc0001000". RINGSHIFT_ACCEPT=1 writes the present code to the expected file. --gtest_filter
// selects cases.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <unordered_set>
#include <vector>

#include "tests/support/recovery_check.h"
#include "translator/dump.h"
#include "translator/emit.h"
#include "translator/plan.h"

namespace ringshift {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// The value of "; name: value" in the source, or `otherwise`.
std::string setting(const std::string& source, const std::string& name,
                    const std::string& otherwise) {
  std::istringstream lines(source);
  const std::string key = "; " + name + ": ";
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(key)) return line.substr(key.size());
  }
  return otherwise;
}

std::vector<uint8_t> assemble(const fs::path& path, uint32_t origin) {
  std::string base = (fs::temp_directory_path() / "ringshift-golden-XXXXXX").string();
  const int descriptor = mkstemp(base.data());
  if (descriptor < 0) return {};
  close(descriptor);
  const fs::path source = base + ".asm";
  std::ofstream(source) << "bits 32\norg " << origin << "\n%include \"" << path.string() << "\"\n";
  const std::string command = "nasm -f bin -o " + base + ' ' + source.string();
  const bool ok = std::system(command.c_str()) == 0;
  const std::string bytes = ok ? read_file(base) : "";
  fs::remove(base);
  fs::remove(source);
  return {bytes.begin(), bytes.end()};
}

// The bytes of one case at its origin, and nothing around them.
class CaseSource final : public CodeSource, public SoftSites {
 public:
  CaseSource(std::vector<uint8_t> bytes, uint32_t origin)
      : bytes_(std::move(bytes)), origin_(origin) {}
  [[nodiscard]] std::span<const uint8_t> code_at(GuestVirtual address, Privilege,
                                                 GuestPhysical* physical) override {
    const uint32_t offset = address.value() - origin_;
    if (offset >= bytes_.size()) return {};
    *physical = GuestPhysical(address.value());
    const size_t in_page = kPageSize - address.offset_in_page();
    return {bytes_.data() + offset, std::min(bytes_.size() - offset, in_page)};
  }
  [[nodiscard]] bool is_soft(GuestPhysical instruction) const override {
    return soft_.contains(instruction.value());
  }
  [[nodiscard]] bool returns_elsewhere(GuestPhysical last_byte) const override {
    return odd_returns_.contains(last_byte.value());
  }
  void add_odd_return(uint32_t offset) { odd_returns_.insert(origin_ + offset); }
  void add_soft_site(uint32_t offset) { soft_.insert(origin_ + offset); }
  [[nodiscard]] uint32_t origin() const { return origin_; }
  [[nodiscard]] uint32_t end() const { return origin_ + static_cast<uint32_t>(bytes_.size()); }

 private:
  std::vector<uint8_t> bytes_;
  uint32_t origin_;
  std::unordered_set<uint64_t> soft_, odd_returns_;
};

// The mode by its name in "; mode: name". 16-bit code says `bits 16` by itself.
CodeMode mode_of(const std::string& name) {
  constexpr uint16_t kData = 0xc093, kCode = 0xc09b, kNarrowData = 0x93, kNarrowCode = 0x9b;
  if (name.empty()) return {};
  const bool is_real = name == "real";
  const bool is_narrow = is_real || name == "protected 16-bit";
  GuestState state;
  state.cr0 = is_real ? 0 : kCr0Pe;
  for (SegmentCache& segment : state.segment) {
    segment =
        is_narrow ? SegmentCache{0, 0xffff, 8, kNarrowData} : SegmentCache{0, 0xffffffff, 8, kData};
  }
  SegmentCache& cs = state.seg(SegmentRegister::Cs);
  cs.attributes = is_narrow ? kNarrowCode : kCode;
  if (name == "null es") state.seg(SegmentRegister::Es) = SegmentCache{};
  if (name == "limits") {
    for (SegmentCache& segment : state.segment) segment.limit = 0xfffff;
    state.seg(SegmentRegister::Ds).base = 0x1000;
  }
  return code_mode_of(state);
}

// Translates the whole case: unit after unit until its bytes are used up.
std::string translate_case(CaseSource& source, Privilege privilege, AccessStyle style,
                           const CodeMode& mode) {
  std::string error;
  const std::unique_ptr<CodeArena> arena = CodeArena::create(1U << 20, &error);
  const Stubs stubs = emit_stubs(*arena);
  Emitter emitter(stubs);
  std::string text;
  for (uint32_t eip = source.origin(); eip < source.end();) {
    TranslationKey key;
    key.eip = Eip(eip);
    key.physical = GuestPhysical(eip);
    key.privilege = privilege;
    key.style = style;
    key.mode = mode;
    TranslationUnit unit;
    plan(key, source, source, {}, {}, &unit);
    const EmittedCode& code = emitter.emit(unit, arena->next(), 0);
    EXPECT_EQ(check_recovery(unit, code), "");
    text += (text.empty() ? "" : "\n") + dump(unit, code, stubs, arena->next().address);
    eip += std::max(unit.byte_length(), 1U);
  }
  return text;
}

std::string difference(const fs::path& expected, const std::string& found) {
  const fs::path actual = fs::temp_directory_path() / (expected.stem().string() + ".found");
  std::ofstream(actual) << found;
  const fs::path result = actual.string() + ".diff";
  const std::string command =
      "diff -u " + expected.string() + ' ' + actual.string() + " > " + result.string();
  if (std::system(command.c_str()) < 0) return "(no diff)";
  std::string text = read_file(result);
  fs::remove(actual);
  fs::remove(result);
  return text;
}

std::vector<std::string> all_cases() {
  std::vector<std::string> names;
  const fs::path root = RINGSHIFT_GOLDEN_DIR;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.path().extension() == ".asm") {
      names.push_back(fs::relative(entry.path(), root).replace_extension().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

class Golden : public ::testing::TestWithParam<std::string> {};

TEST_P(Golden, TranslatesAsExpected) {
  const fs::path base = fs::path(RINGSHIFT_GOLDEN_DIR) / GetParam();
  const fs::path expected = base.string() + ".expected";
  const std::string text = read_file(base.string() + ".asm");
  const auto origin =
      static_cast<uint32_t>(std::stoul(setting(text, "origin", "0x1000"), nullptr, 0));
  CaseSource source(assemble(base.string() + ".asm", origin), origin);
  ASSERT_NE(source.origin(), source.end()) << "nothing assembled";
  const std::string soft_site = setting(text, "soft site", "");
  if (!soft_site.empty()) {
    source.add_soft_site(static_cast<uint32_t>(std::stoul(soft_site, nullptr, 0)));
  }
  const std::string odd_return = setting(text, "odd return", "");
  if (!odd_return.empty()) {
    source.add_odd_return(static_cast<uint32_t>(std::stoul(odd_return, nullptr, 0)));
  }
  const std::string found = translate_case(
      source, setting(text, "privilege", "") == "user" ? Privilege::User : Privilege::Supervisor,
      setting(text, "style", "") == "soft" ? AccessStyle::Soft : AccessStyle::Window,
      mode_of(setting(text, "mode", "")));
  const char* accept = std::getenv("RINGSHIFT_ACCEPT");
  if (accept != nullptr && std::string_view(accept) == "1") std::ofstream(expected) << found;
  EXPECT_TRUE(found == read_file(expected))
      << difference(expected, found) << "to accept: RINGSHIFT_ACCEPT=1 ctest -L golden";
}

std::string case_name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Cases, Golden, ::testing::ValuesIn(all_cases()), case_name);

}  // namespace
}  // namespace ringshift
