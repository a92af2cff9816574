// Polls: every loop of translated code passes one (T8), however it comes round: over the end of
// linear space, by returns, through links made later, in copies. Host code of random units is
// searched for a cycle without a poll; loops of each kind are run; counts are cut.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/support/translator_fixture.h"
#include "tests/support/used_up_mappings.h"
#include "translator/disassemble.h"

namespace ringshift {
namespace {

// RAM lies at the end of linear space, too, so that code runs on over it into address 0.
class RingMachine final : public TranslatorMachine {
 public:
  using TranslatorMachine::TranslatorMachine;
  static constexpr uint32_t kTop = 0U - kRamBytes;
  static constexpr uint32_t kElsewhere = 0x40000000U;  // code only

  [[nodiscard]] static uint32_t offset_of(uint32_t linear) {
    if (linear >= kTop) return linear - kTop;
    return linear >= kElsewhere && linear < kElsewhere + kRamBytes ? linear - kElsewhere : linear;
  }
  [[nodiscard]] std::span<const uint8_t> code_at(GuestVirtual address, Privilege privilege_of_code,
                                                 GuestPhysical* physical) override {
    return TranslatorMachine::code_at(GuestVirtual(offset_of(address.value())), privilege_of_code,
                                      physical);
  }
  void put(uint32_t linear, std::string_view hex) {
    for (const uint8_t byte : bytes_of_hex(hex)) *ram(offset_of(linear++)) = byte;
  }
  [[nodiscard]] TranslationKey key(uint32_t eip, uint32_t view) const {
    TranslationKey made;
    made.eip = Eip(eip);
    made.physical = GuestPhysical(offset_of(eip));
    made.privilege = privilege;
    made.style = style;
    made.view = view;
    return made;
  }
};

// The steps of the host in translated code up to the next poll, or out of the code.
class StepsWithoutPoll {
 public:
  explicit StepsWithoutPoll(RingMachine& machine) : machine_(machine) {
    machine.translator->cache().for_each([this](const Fragment& fragment) {
      add(fragment.body());
      for (size_t next = 0; next < open_.size(); ++next) follow(open_[next]);
      open_.clear();
    });
  }
  // Empty: there is none.
  [[nodiscard]] std::string find_cycle() const {
    enum class Mark : uint8_t { New, OnPath, Done };
    std::unordered_map<uint64_t, Mark> marks;
    for (const auto& [root, unused] : steps_) {
      std::vector<std::pair<uint64_t, size_t>> path;
      if (marks[root] == Mark::New) path.emplace_back(root, 0);
      while (!path.empty()) {
        auto& [at, next] = path.back();
        marks[at] = Mark::OnPath;
        const std::vector<uint64_t>& steps = steps_.at(at);
        if (next == steps.size()) {
          marks[at] = Mark::Done;
          path.pop_back();
          continue;
        }
        const uint64_t to = steps[next++];
        if (marks[to] == Mark::OnPath) return describe(to);
        if (marks[to] == Mark::New) path.emplace_back(to, 0);
      }
    }
    return "";
  }
  [[nodiscard]] size_t size() const { return steps_.size(); }

 private:
  void add(uint64_t at) {
    if (steps_.try_emplace(at).second) open_.push_back(at);
  }
  void step(uint64_t from, uint64_t to) {
    add(to);
    steps_[from].push_back(to);
  }
  [[nodiscard]] bool is_code(uint64_t at) const {
    return machine_.translator->cache().fragment_at(at) != nullptr;
  }
  [[nodiscard]] HostInstruction instruction_at(uint64_t at) const {
    constexpr size_t kMost = 16;
    const auto* bytes = machine_.translator->arena().write_view({at}).bytes;
    return disassemble_host({bytes, kMost}, 0);
  }

  void follow(uint64_t at) {
    const HostInstruction host = instruction_at(at);
    ASSERT_NE(host.length, 0);
    if (host.text.find("[poll_page]") != std::string::npos) return add(at + host.length);
    if (host.text == "ret" || host.text == "int3") return;  // RET: a poll came before it
    if (!host.destination) return step(at, at + host.length);
    const uint64_t to = at + static_cast<uint64_t>(*host.destination);
    const bool is_call = host.branch.starts_with("call");
    if (is_code(to)) step(at, to);
    if (host.branch.starts_with("jmp")) return;
    // A call of guest code comes back by a RET, which has polled; one of a stub just comes back.
    if (is_call && (is_code(to) || to == machine_.translator->stubs().dispatch)) {
      return add(at + host.length);
    }
    step(at, at + host.length);
  }
  [[nodiscard]] std::string describe(uint64_t at) const {
    const Fragment* fragment = machine_.translator->cache().fragment_at(at);
    return "a cycle through the code of EIP " + std::to_string(fragment->key.eip.value()) + ": " +
           instruction_at(at).text;
  }

  RingMachine& machine_;
  std::map<uint64_t, std::vector<uint64_t>> steps_;
  std::vector<uint64_t> open_;
};

struct Setting {
  AccessStyle style;
  Privilege privilege;
  uint32_t view;
  const char* name;
};
const Setting kSettings[] = {
    {AccessStyle::Window, Privilege::Supervisor, 0, "Supervisor"},
    {AccessStyle::Soft, Privilege::Supervisor, 0, "SupervisorSoft"},
    {AccessStyle::Window, Privilege::User, 7, "UserOwn"},
    {AccessStyle::Window, Privilege::User, 0, "UserShared"},
    {AccessStyle::Soft, Privilege::User, 0, "UserSharedSoft"},
};

class Polls : public ::testing::TestWithParam<Setting> {
 protected:
  Polls() : machine_(GetParam().style) { machine_.privilege = GetParam().privilege; }
  [[nodiscard]] TranslationCache& cache() { return machine_.translator->cache(); }
  Fragment& ensure(uint32_t eip) {
    return machine_.translator->find_or_make(machine_.key(eip, GetParam().view),
                                             SafePointForTest::get());
  }
  // As the loop does it: code that spaces share within one page only.
  void link(uint32_t number, Fragment& to) {
    const TranslationKey& from = cache().link_view(number).from->key;
    const bool same_page = from.eip.page_base() == to.key.eip.page_base();
    if (to.key.is_shared() && (!same_page || to.crosses_page)) return;
    cache().link(number, to, SafePointForTest::get());
  }
  // Visits the links of all there is, and of what the visitor translates, once or more.
  template <typename Visitor>
  void link_everything(size_t most, Visitor visit) {
    for (bool is_new = true; is_new && cache().size() < most;) {
      std::vector<uint32_t> links;
      cache().for_each([&](const Fragment& fragment) {
        for (uint32_t i = 0; i < fragment.link_count; ++i) links.push_back(fragment.first_link + i);
      });
      const size_t known = cache().size();
      for (const uint32_t number : links)
        visit(number, cache().link_view(number).destination_eip.value());
      is_new = cache().size() != known;
    }
  }
  void link_everything(size_t most) {
    link_everything(most, [this](uint32_t number, uint32_t eip) { link(number, ensure(eip)); });
  }
  void expect_no_cycle(const std::string& where) {
    const StepsWithoutPoll steps(machine_);
    EXPECT_GT(steps.size(), 0U);
    EXPECT_EQ(steps.find_cycle(), "") << where;
    cache().verify_invariants();
  }
  static constexpr size_t kMostFragments = 1000;
  RingMachine machine_;
};

INSTANTIATE_TEST_SUITE_P(All, Polls, ::testing::ValuesIn(kSettings),
                         [](const auto& setting) { return std::string(setting.param.name); });

// Only such code is copied.
class PollsOfSharedCode : public Polls {};
INSTANTIATE_TEST_SUITE_P(All, PollsOfSharedCode, ::testing::Values(kSettings[3], kSettings[4]),
                         [](const auto& setting) { return std::string(setting.param.name); });

TEST_P(Polls, TheSearchFindsACycleThatIsThere) {
  machine_.put(0x1000, "eb 0e");  // jmp 0x1010 (up within the page)
  Fragment& fragment = ensure(0x1000);
  EXPECT_EQ(StepsWithoutPoll(machine_).find_cycle(), "");
  cache().link(fragment.first_link, fragment, SafePointForTest::get());  // not where it leads
  EXPECT_NE(StepsWithoutPoll(machine_).find_cycle(), "");
}

// A page of instructions of the kinds that matter; branches go anywhere in the pages around the
// end of linear space.
class RandomCode {
 public:
  explicit RandomCode(uint32_t seed) : random_(seed) {}
  void fill_page(RingMachine& machine, uint32_t page) {
    for (uint32_t at = 0; at + kLongest <= kPageSize;) at += put(machine, page + at);
    // Straight on over the page's end more often than not.
    if (below(4) != 0) machine.put(page + kPageSize - kLongest, "90 90 90 90 90 90 90 90");
  }

 private:
  static constexpr uint32_t kLongest = 8;
  uint32_t below(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }
  static std::string hex(uint32_t value, unsigned bytes) {
    std::string text;
    for (unsigned i = 0; i < bytes; ++i) {
      constexpr const char* kDigits = "0123456789abcdef";
      const uint32_t byte = (value >> (8 * i)) & 0xffU;
      text += {' ', kDigits[byte >> 4], kDigits[byte & 15]};
    }
    return text;
  }
  uint32_t anywhere() { return 0U - 2 * kPageSize + below(4 * kPageSize); }
  uint32_t put(RingMachine& machine, uint32_t at) {
    static const char* const kPlain[] = {"90",    "40",    "50",       "58",
                                         "a4",    "f3 aa", "f2 ae",    "f3 a6",
                                         "f3 a5", "89 07", "8b 06",    "fa",
                                         "9c",    "0f a2", "c3",       "c2 04 00",
                                         "ff e0", "ff d0", "8b 04 24", "b8 01 02 03 04"};
    static const char* const kShort[] = {"eb", "75", "74", "e2", "e3", "e1", "7c"};
    static const char* const kNear[] = {"e9", "e8", "0f 85", "0f 82"};
    std::string text;
    const uint32_t kind = below(10);
    if (kind < 5) {
      text = kPlain[below(std::size(kPlain))];
    } else if (kind < 8) {
      text = kShort[below(std::size(kShort))] + hex(below(256), 1);
    } else {
      text = kNear[below(std::size(kNear))];
      const auto length = static_cast<uint32_t>(bytes_of_hex(text).size()) + 4;
      text += hex(anywhere() - (at + length), 4);
    }
    machine.put(at, text);
    return static_cast<uint32_t>(bytes_of_hex(text).size());
  }

  std::mt19937 random_;
};

TEST_P(Polls, NoCycleOfRandomUnitsIsWithout) {
  for (uint32_t seed = 1; seed <= 2; ++seed) {
    machine_.forget_code();
    RandomCode code(seed);
    for (const uint32_t page : {0U - 2 * kPageSize, 0U - kPageSize, 0U, kPageSize}) {
      code.fill_page(machine_, page);
    }
    std::mt19937 random(seed);
    for (int i = 0; i < 40; ++i) {
      (void)ensure(0U - 2 * kPageSize + static_cast<uint32_t>(random() % (4 * kPageSize)));
    }
    link_everything(kMostFragments);
    expect_no_cycle("seed " + std::to_string(seed));
  }
}

TEST_P(PollsOfSharedCode, NoCycleOfCopiesIsWithout) {
  RandomCode code(99);
  code.fill_page(machine_, kPageSize);
  for (uint32_t at = 0; at < kPageSize; at += 16) (void)ensure(kPageSize + at);
  for (const uint32_t place : {RingMachine::kElsewhere, RingMachine::kTop}) {
    for (uint32_t at = 0; at < kPageSize; at += 64) (void)ensure(place + kPageSize + at);
  }
  link_everything(2 * kMostFragments);
  size_t copies = 0;
  cache().for_each([&](const Fragment& fragment) { copies += fragment.is_copy ? 1 : 0; });
  EXPECT_GT(copies, 0U);
  expect_no_cycle("copies");
}

// The shapes by which a loop can do without a branch downwards. Each lies around 0xffffffff/0.
struct Loop {
  const char* name;
  uint32_t starts;
  uint32_t at;
  const char* above;    // the bytes there
  const char* at_zero;  // what it goes on with at 0, be it amid an instruction
};
const Loop kLoops[] = {
    {"falls over the end", 0xfffffffc, 0xfffffffc, "90 90 90 90", "e9 f7 ff ff ff"},
    {"a branch not taken", 0xfffffffe, 0xfffffffe, "75 00", "eb fc"},
    {"a branch taken over the end", 0xfffffff8, 0xfffffff8, "31 c0 74 04", "eb f6"},
    {"LOOP not taken", 0xfffffff9, 0xfffffff9, "b9 01 00 00 00 e2 fe", "eb f7"},
    {"LOOP taken over the end", 0xfffffff9, 0xfffffff9, "b9 05 00 00 00 e2 00", "eb f7"},
    {"JECXZ not taken", 0xfffffff9, 0xfffffff9, "b9 01 00 00 00 e3 fe", "eb f7"},
    {"JECXZ taken over the end", 0xfffffff9, 0xfffffff9, "b9 00 00 00 00 e3 00", "eb f7"},
    {"a jump over the end", 0xfffffffe, 0xfffffffe, "eb 00", "eb fc"},
    {"a call over the end", 0xfffffffb, 0xfffffffb, "e8 00 00 00 00", "58 eb f8"},
    {"an inlined call at the end", 0xfffffffb, 0xfffffff0,
     "8b 04 24 c3 90 90 90 90 90 90 90 e8 f0 ff ff ff", "eb f9"},
    {"a return over the end", 0xfffffffa, 0xfffffffa, "68 00 00 00 00 c3", "eb f8"},
};

TEST_P(Polls, ALoopRoundTheRingNoticesAttention) {
  for (const Loop& loop : kLoops) {
    SCOPED_TRACE(loop.name);
    machine_.forget_code();
    machine_.put(loop.at, loop.above);
    machine_.put(0, loop.at_zero);
    machine_.fill_user_page(TranslatorMachine::kStack - 4);
    machine_.reg(Gpr::Esp) = TranslatorMachine::kStack;
    machine_.state().eip = loop.starts;
    // Linked first: nothing leaves by itself any more.
    (void)machine_.fragment_at_eip(loop.starts);
    link_everything(kMostFragments, [this](uint32_t number, uint32_t eip) {
      cache().link(number, machine_.fragment_at_eip(eip), SafePointForTest::get());
    });
    machine_.gate->raise_poll();
    const Exit exit = machine_.run();
    machine_.gate->lower_poll();
    EXPECT_EQ(exit.reason, ExitReason::HostFault);
    EXPECT_TRUE(machine_.gate->is_poll(exit.fault.address));
    expect_no_cycle(loop.name);
  }
}

TEST_P(Polls, AReturnPollsThoughItsCallHasDone) {
  machine_.fill_user_page(TranslatorMachine::kStack - 4);
  machine_.reg(Gpr::Esp) = TranslatorMachine::kStack;
  machine_.load(TranslatorMachine::kCode, "e8 01 00 00 00 f4 c3");  // call .f; hlt; .f: ret
  machine_.state().eip = TranslatorMachine::kCode;
  EXPECT_EQ(machine_.run().eip, Eip(TranslatorMachine::kCode + 5));
  machine_.state().eip = TranslatorMachine::kCode;
  machine_.gate->raise_poll();
  const Exit exit = machine_.run();
  machine_.gate->lower_poll();
  ASSERT_EQ(exit.reason, ExitReason::HostFault);
  EXPECT_TRUE(machine_.gate->is_poll(exit.fault.address));
  EXPECT_EQ(exit.eip, Eip(TranslatorMachine::kCode + 6));
}

// ---- counts ----

class Repeats : public ::testing::Test {
 protected:
  static constexpr uint32_t kFrom = 0x30000;
  static constexpr uint32_t kTo = 0x80000;
  static constexpr uint32_t kCount = 0x28005;  // two and a half parts
  void expect_poll(const Exit& exit) {
    ASSERT_EQ(exit.reason, ExitReason::HostFault);
    EXPECT_TRUE(machine_.gate->is_poll(exit.fault.address));
  }
  TranslatorMachine machine_;
};

TEST_F(Repeats, ALongFillPollsAndComesToTheSame) {
  machine_.reg(Gpr::Eax) = 0x5a;
  machine_.reg(Gpr::Ecx) = kCount;
  machine_.reg(Gpr::Edi) = kTo;
  machine_.state().eflags |= kFlagCf | kFlagZf | kFlagOf;
  machine_.run_snippet("f3 aa");  // rep stosb
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0U);
  EXPECT_EQ(machine_.reg(Gpr::Edi), kTo + kCount);
  EXPECT_EQ(*machine_.ram(kTo + kCount - 1), 0x5a);
  EXPECT_EQ(*machine_.ram(kTo + kCount), 0);
  EXPECT_EQ(machine_.state().eflags, kFlagReservedOne | kFlagCf | kFlagZf | kFlagOf);
}

TEST_F(Repeats, ACopyDownwardsInPartsToo) {
  std::memset(machine_.ram(kFrom), 0x11, kCount);
  machine_.reg(Gpr::Ecx) = kCount;
  machine_.reg(Gpr::Esi) = kFrom + kCount - 1;
  machine_.reg(Gpr::Edi) = kTo + kCount - 1;
  machine_.state().eflags |= kFlagDf;
  machine_.run_snippet("f3 a4");  // rep movsb
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0U);
  EXPECT_EQ(machine_.reg(Gpr::Esi), kFrom - 1);
  EXPECT_EQ(machine_.reg(Gpr::Edi), kTo - 1);
  EXPECT_EQ(std::memcmp(machine_.ram(kFrom), machine_.ram(kTo), kCount), 0);
}

TEST_F(Repeats, ASearchEndsWhereItFinds) {
  // In the first part, as its last element, as the next one's first, in the second, and nowhere.
  for (const uint32_t found : {5U, 0xffffU, 0x10000U, 0x10001U, 0x20000U, kCount - 1, kCount}) {
    SCOPED_TRACE(found);
    std::memset(machine_.ram(kTo), 1, kCount);
    if (found < kCount) *machine_.ram(kTo + found) = 0;
    machine_.reg(Gpr::Eax) = 0;
    machine_.reg(Gpr::Ecx) = kCount;
    machine_.reg(Gpr::Edi) = kTo;
    machine_.run_snippet("f2 ae");  // repne scasb
    const uint32_t done = std::min(found + 1, kCount);
    EXPECT_EQ(machine_.reg(Gpr::Ecx), kCount - done);
    EXPECT_EQ(machine_.reg(Gpr::Edi), kTo + done);
    EXPECT_EQ((machine_.state().eflags & kFlagZf) != 0, found < kCount);
  }
}

TEST_F(Repeats, AComparisonEndsWhereItDiffers) {
  for (const uint32_t differs : {0U, 0xffffU, 0x10000U, 0x20000U, kCount}) {
    SCOPED_TRACE(differs);
    std::memset(machine_.ram(kFrom), 1, kCount);
    std::memset(machine_.ram(kTo), 1, kCount);
    if (differs < kCount) *machine_.ram(kTo + differs) = 2;
    machine_.reg(Gpr::Ecx) = kCount;
    machine_.reg(Gpr::Esi) = kFrom;
    machine_.reg(Gpr::Edi) = kTo;
    machine_.run_snippet("f3 a6");  // repe cmpsb
    const uint32_t done = std::min(differs + 1, kCount);
    EXPECT_EQ(machine_.reg(Gpr::Ecx), kCount - done);
    EXPECT_EQ(machine_.reg(Gpr::Esi), kFrom + done);
    EXPECT_EQ((machine_.state().eflags & kFlagZf) != 0, differs == kCount);
  }
}

TEST_F(Repeats, NoCountIsNothingAndLeavesTheFlags) {
  machine_.reg(Gpr::Ecx) = 0;
  machine_.reg(Gpr::Edi) = TranslatorMachine::kUnmapped;
  machine_.state().eflags |= kFlagZf | kFlagCf;
  machine_.run_snippet("f2 ae");  // repne scasb
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0U);
  EXPECT_EQ(machine_.state().eflags, kFlagReservedOne | kFlagZf | kFlagCf);
}

TEST_F(Repeats, AFaultInTheSecondPartFindsTheWholeCount) {
  constexpr uint32_t kBad = kTo + 0x11000;
  machine_.set_page_access(kBad, HostAccess::None);
  machine_.reg(Gpr::Ecx) = kCount;
  machine_.reg(Gpr::Edi) = kTo;
  const Exit exit = machine_.run_code("f3 aa");  // rep stosb
  EXPECT_EQ(exit.reason, ExitReason::HostFault);
  EXPECT_EQ(exit.eip, Eip(TranslatorMachine::kCode));
  EXPECT_EQ(machine_.reg(Gpr::Edi), kBad);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), kCount - 0x11000);
}

TEST_F(Repeats, AttentionStopsTheLongestCountBeforeItsNextPart) {
  machine_.reg(Gpr::Ecx) = 0xffffffff;
  machine_.reg(Gpr::Esi) = kFrom;
  machine_.gate->raise_poll();
  const Exit exit = machine_.run_code("f3 ac");  // rep lodsb
  machine_.gate->lower_poll();
  expect_poll(exit);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0xffffffffU);
  EXPECT_EQ(machine_.reg(Gpr::Esi), kFrom);
}

// ---- the page itself ----

// The line of /proc/self/maps with this address, and how many lines there are.
struct HostMappings {
  size_t count = 0;
  std::string line;
};
HostMappings mappings_around(uint64_t address) {
  HostMappings found;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line); ++found.count) {
    const uint64_t first = std::stoull(line, nullptr, 16);
    const uint64_t end = std::stoull(line.substr(line.find('-') + 1), nullptr, 16);
    if (address >= first && address < end) found.line = line;
  }
  return found;
}

TEST(PollPage, IsAMappingOfItsOwnRaisedAndLowered) {
  TranslatorMachine machine;
  const uint64_t page = reinterpret_cast<uint64_t>(machine.gate->frame().poll_page.data());
  (void)mappings_around(page);  // its buffers are there the next time
  const HostMappings before = mappings_around(page);
  machine.gate->raise_poll();
  const HostMappings raised = mappings_around(page);
  machine.gate->lower_poll();
  const HostMappings lowered = mappings_around(page);
  EXPECT_EQ(before.count, raised.count);
  EXPECT_EQ(before.count, lowered.count);
  EXPECT_NE(before.line.find(" r--s "), std::string::npos) << before.line;
  EXPECT_NE(raised.line.find(" ---s "), std::string::npos) << raised.line;
  EXPECT_EQ(before.line, lowered.line);
  // One page, whatever lies beside it.
  EXPECT_EQ(std::stoull(before.line, nullptr, 16), page);
  EXPECT_EQ(std::stoull(before.line.substr(before.line.find('-') + 1), nullptr, 16),
            page + kPageSize);
}

TEST(PollPage, IsRaisedWithoutAMappingLeft) {
  if (!UsedUpMappings::can_be()) GTEST_SKIP() << "they cannot be used up here";
  TranslatorMachine machine;
  machine.load(TranslatorMachine::kCode, "eb fe");  // jmp $
  machine.state().eip = TranslatorMachine::kCode;
  const UsedUpMappings all;
  ASSERT_TRUE(all.is_used_up());
  machine.gate->raise_poll();
  const Exit exit = machine.run();
  machine.gate->lower_poll();
  EXPECT_EQ(exit.reason, ExitReason::HostFault);
  EXPECT_TRUE(machine.gate->is_poll(exit.fault.address));
}

}  // namespace
}  // namespace ringshift
