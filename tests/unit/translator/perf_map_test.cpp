// Names for perf: the text of a line, and that the code of an arena without a file works as any.

#include "translator/perf_map.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include "translator/code_arena.h"

namespace ringshift {
namespace {

TranslationUnit unit_of(std::initializer_list<Treatment> treatments) {
  TranslationUnit unit;
  unit.key.eip = Eip(0xc0102030);
  for (Treatment treatment : treatments) {
    UnitInstruction instruction;
    instruction.treatment = treatment;
    unit.instructions.push_back(instruction);
  }
  return unit;
}

std::string text_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(PerfMap, NameHasPrivilegeAddressStyleAndTreatments) {
  TranslationUnit unit = unit_of(
      {Treatment::Memory, Treatment::Identical, Treatment::Memory, Treatment::DirectBranch});
  EXPECT_EQ(perf_name(unit), "kernel c0102030 window i1 m2 d1");
  unit.key.privilege = Privilege::User;
  unit.key.style = AccessStyle::Soft;
  EXPECT_EQ(perf_name(unit), "user c0102030 soft i1 m2 d1");
}

TEST(PerfMap, LineHasAddressSizeAndName) {
  const std::string path = testing::TempDir() + "perf-map-" + std::to_string(getpid());
  std::string error;
  Fragment fragment;
  fragment.code.address = 0x7f0000001000;
  fragment.size = 0x52;
  {
    auto map = PerfMap::create(path, &error);
    ASSERT_NE(map, nullptr) << error;
    map->add(fragment, unit_of({Treatment::Interpret}));
  }
  EXPECT_EQ(text_of(path), "7f0000001000 52 kernel c0102030 window x1\n");
  unlink(path.c_str());
}

TEST(PerfMap, FileThatCannotBeWrittenIsOneLine) {
  std::string error;
  EXPECT_EQ(PerfMap::create("/nowhere/perf.map", &error), nullptr);
  EXPECT_EQ(error, "cannot write /nowhere/perf.map: No such file or directory");
}

TEST(PerfMap, CodeOfAnAnonymousArenaRunsAndCanBePatched) {
  std::string error;
  auto arena = CodeArena::create(65536, &error, ArenaBacking::Anonymous);
  ASSERT_NE(arena, nullptr) << error;
  const std::array<uint8_t, 6> code = {0xb8, 42, 0, 0, 0, 0xc3};  // mov eax, 42; ret
  const CodeExecuteView at = arena->publish(code, 1);
  int (*function)() = nullptr;
  std::memcpy(&function, &at.address, sizeof(function));
  EXPECT_EQ(function(), 42);
  arena->write_view(at).bytes[1] = 43;
  EXPECT_EQ(function(), 43);
}

}  // namespace
}  // namespace ringshift
