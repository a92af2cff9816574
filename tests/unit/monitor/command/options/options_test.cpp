#include "monitor/command/options/options.h"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "shadowmmu/base/number_text.h"

namespace ringshift {
namespace {

using Words = std::vector<std::string>;

// The message of the command line library or of finish_run_options; empty if both agreed.
std::string parse_run(Words words, RunOptions* options) {
  CLI::App app;
  add_run_options(app, options);
  std::reverse(words.begin(), words.end());
  try {
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    return error.what();
  }
  std::string problem;
  return finish_run_options(options, &problem) ? "" : problem;
}

std::string parse_translate(Words words, TranslateOptions* options) {
  CLI::App app;
  add_translate_options(app, options);
  std::reverse(words.begin(), words.end());
  try {
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    return error.what();
  }
  std::string problem;
  return finish_translate_options(options, &problem) ? "" : problem;
}

std::string problem_with(const Words& more) {
  Words words = {"--kernel", "k"};
  words.insert(words.end(), more.begin(), more.end());
  RunOptions options;
  return parse_run(words, &options);
}

TEST(ParseSize, TakesSuffixesAndMultipliesBareNumbers) {
  uint64_t bytes = 0;
  EXPECT_TRUE(parse_size("64K", 1, &bytes));
  EXPECT_EQ(bytes, 65536U);
  EXPECT_TRUE(parse_size("2g", 1, &bytes));
  EXPECT_EQ(bytes, uint64_t{2} << 30);
  EXPECT_TRUE(parse_size("64", 1U << 20, &bytes));
  EXPECT_EQ(bytes, 64U << 20);
}

TEST(ParseSize, RefusesWhatIsNoSizeOrTooLarge) {
  uint64_t bytes = 0;
  for (const char* text :
       {"", "M", "-1", "1T", "1MB", "0x10", "99999999999999999999", "18446744073709551615G"}) {
    EXPECT_FALSE(parse_size(text, 1, &bytes)) << text;
  }
}

TEST(ParseAddress, TakesHexadecimalAndDecimal) {
  uint32_t address = 0;
  EXPECT_TRUE(parse_address("0xC0100000", &address));
  EXPECT_EQ(address, 0xc0100000U);
  EXPECT_TRUE(parse_address("4096", &address));
  EXPECT_EQ(address, 4096U);
}

TEST(ParseAddress, RefusesWhatIsNoAddressOrHasMoreThan32Bits) {
  uint32_t address = 0;
  for (const char* text : {"", "0x", "0x100000000", "c0100000", "-1", "1 "}) {
    EXPECT_FALSE(parse_address(text, &address)) << text;
  }
}

TEST(RunOptions, DefaultsAreAConsoleAndTheTranslator) {
  RunOptions options;
  ASSERT_EQ(parse_run({"--kernel", "k"}, &options), "");
  EXPECT_EQ(options.machine.boot.kernel_path, "k");
  EXPECT_EQ(options.machine.memory_bytes, 128U << 20);
  EXPECT_EQ(options.machine.ports.serial.kind, PortTarget::Kind::Console);
  EXPECT_EQ(options.machine.vcpu.engine, Engine::Translate);
  EXPECT_EQ(options.stats, StatsFormat::None);
  EXPECT_FALSE(options.no_reboot);
}

TEST(RunOptions, SomethingToBootIsRequired) {
  RunOptions options;
  EXPECT_EQ(parse_run({"-m", "64M"}, &options),
            "nothing to boot: --kernel, --hda, --cdrom or --bios is required");
}

TEST(RunOptions, MemoryIsAnySpellingOfASize) {
  for (const char* text : {"64M", "64", "65536K", "size=64M"}) {
    RunOptions options;
    ASSERT_EQ(parse_run({"--kernel", "k", "--memory", text}, &options), "") << text;
    EXPECT_EQ(options.machine.memory_bytes, 64U << 20) << text;
  }
}

TEST(RunOptions, MemoryOutsideItsRangeIsRefusedInOneLine) {
  EXPECT_EQ(problem_with({"-m", "1M"}), "--memory: 1M is outside 4M..3584M");
  EXPECT_EQ(problem_with({"-m", "4G"}), "--memory: 4G is outside 4M..3584M");
  EXPECT_EQ(problem_with({"-m", "lots"}), "--memory: 'lots' is not a size (64M, 1G, ...)");
}

TEST(RunOptions, CpuItemsSetTheModel) {
  RunOptions options;
  ASSERT_EQ(parse_run({"--kernel", "k", "--cpu", "model=pentium3,pae=off,meltdown=on"}, &options),
            "");
  EXPECT_FALSE(options.machine.cpu.sse42);
  EXPECT_FALSE(options.machine.cpu.nx);
  EXPECT_FALSE(options.machine.cpu.pae);
  EXPECT_TRUE(options.machine.cpu.meltdown);
  EXPECT_TRUE(options.machine.cpu.sysenter);
}

TEST(RunOptions, MachineItemsSayWhatIsOnTheBoard) {
  RunOptions usual, off;
  ASSERT_EQ(parse_run({"--kernel", "k"}, &usual), "");
  EXPECT_TRUE(usual.machine.apic);
  EXPECT_TRUE(usual.machine.hpet);
  ASSERT_EQ(parse_run({"--kernel", "k", "--machine", "hpet=off,apic=off"}, &off), "");
  EXPECT_FALSE(off.machine.apic);
  EXPECT_FALSE(off.machine.hpet);
  EXPECT_EQ(problem_with({"--machine", "acip=on"}),
            "--machine: cannot use 'acip=on' (apic=, hpet=, acpi=on|off)");
}

TEST(RunOptions, TheHypervisorThatIsShownIsOneOfFour) {
  for (const auto& [word, shown] : {std::pair{"none", Paravirt::None},
                                    {"kvm", Paravirt::Kvm},
                                    {"vmware", Paravirt::Vmware},
                                    {"ringshift", Paravirt::Ringshift}}) {
    RunOptions options;
    ASSERT_EQ(parse_run({"--kernel", "k", "--paravirt", word}, &options), "");
    EXPECT_EQ(options.machine.cpu.paravirt, shown) << word;
  }
  EXPECT_EQ(problem_with({"--paravirt", "xen"}),
            "--paravirt: 'xen' is none of none, kvm, vmware, ringshift");
}

TEST(RunOptions, ALimitIsAPercentageOfAHostCpu) {
  for (const auto& [word, percent] :
       {std::pair{"cpu=25%", 25U}, {"cpu=1", 1U}, {"cpu=100%", 100U}, {"cpu=9,cpu=8", 8U}}) {
    RunOptions options;
    ASSERT_EQ(parse_run({"--kernel", "k", "--limit", word}, &options), "") << word;
    EXPECT_EQ(options.machine.vcpu.cpu_percent, percent) << word;
  }
  for (const char* word :
       {"cpu",          "cpu=",         "cpu=0",     "cpu=101%", "cpu=%",
        "cpu=2%%",      "cpu=-1",       "cpu=1e1",   "memory=",  "memory=0",
        "memory=2048G", "memory-min=0", "disk=255K", "disk=17G", "network=1",
        "shares=0",     "shares=101",   "group=",    "group=on", "group=folder"}) {
    EXPECT_EQ(problem_with({"--limit", word}),
              "--limit: cannot use '" + std::string(word) +
                  "' (cpu=1% to cpu=100%, shares=1 to shares=100, memory=SIZE, memory-min=SIZE, "
                  "disk=RATE, "
                  "network=RATE, group=off or group=/FOLDER; RATE is 256K to 16G bytes a second)");
  }
}

TEST(RunOptions, PagesAreSharedAtARate) {
  for (const auto& [word, rate] :
       {std::pair{"on", 2000U}, {"off", 0U}, {"rate=1", 1U}, {"rate=1000000", 1000000U}}) {
    RunOptions options;
    ASSERT_EQ(parse_run({"--kernel", "k", "--share-pages", word}, &options), "") << word;
    EXPECT_EQ(options.machine.share_pages_rate, rate) << word;
  }
  for (const char* word : {"yes", "rate=", "rate=0", "rate=1000001", "rate=-1", "100"}) {
    EXPECT_EQ(problem_with({"--share-pages", word}),
              "--share-pages: '" + std::string(word) +
                  "' is none of on, off, rate=1 to rate=1000000 (pages a second)");
  }
  EXPECT_EQ(problem_with({"--share-pages", "on", "--clock", "events"}),
            "--clock events cannot be used with --share-pages: it takes its steps by the host's "
            "time");
  EXPECT_EQ(problem_with({"--share-pages", "on", "--engine", "trap"}),
            "--share-pages cannot be used with --engine trap: its processes write to RAM unseen");
}

TEST(RunOptions, SharesAreNiceLevels) {
  for (const auto& [shares, level] :
       {std::pair{100U, 0}, {50U, 3}, {25U, 6}, {10U, 10}, {1U, 19}}) {
    EXPECT_EQ(nice_level_of(shares), level) << shares;
  }
}

TEST(RunOptions, ALimitHasItemsForWhatElseAMachineUses) {
  RunOptions options;
  ASSERT_EQ(parse_run({"--kernel", "k", "--limit", "memory=256,disk=1M,network=256K,shares=25"},
                      &options),
            "");
  EXPECT_EQ(options.limits.memory_bytes, uint64_t{256} << 20);
  EXPECT_EQ(options.limits.disk_rate, uint64_t{1} << 20);
  EXPECT_EQ(options.limits.network_rate, uint64_t{256} << 10);
  EXPECT_EQ(options.limits.shares, 25U);
}

TEST(RunOptions, AMinimumOfMemoryIsOfTheGuests) {
  RunOptions options;
  ASSERT_EQ(parse_run({"--kernel", "k", "--limit", "memory-min=64M"}, &options), "");
  EXPECT_EQ(options.limits.memory_min, uint64_t{64} << 20);
  std::string problem;
  const FixedMemory fixed{.guest_ram = uint64_t{128} << 20};
  EXPECT_TRUE(is_enough_memory(options.limits, fixed, &problem)) << problem;
  options.limits.memory_min = uint64_t{129} << 20;
  EXPECT_FALSE(is_enough_memory(options.limits, fixed, &problem));
  EXPECT_EQ(problem, "--limit: memory-min=129M is more than the guest has: --memory 128M");
  // More than any host has.
  options.limits.memory_min = uint64_t{1} << 50;
  EXPECT_FALSE(is_enough_memory(options.limits, {.guest_ram = uint64_t{1} << 51}, &problem));
  EXPECT_TRUE(problem.starts_with("--limit: the host cannot give memory-min=")) << problem;
}

TEST(RunOptions, Bmi1IsTheHostsAndCanBeTakenAway) {
  RunOptions usual, off, older;
  ASSERT_EQ(parse_run({"--kernel", "k"}, &usual), "");
  EXPECT_EQ(usual.machine.cpu.bmi1, host_has_bmi1());
  ASSERT_EQ(parse_run({"--kernel", "k", "--cpu", "bmi1=off"}, &off), "");
  EXPECT_FALSE(off.machine.cpu.bmi1);
  ASSERT_EQ(parse_run({"--kernel", "k", "--cpu", "model=pentium3"}, &older), "");
  EXPECT_FALSE(older.machine.cpu.bmi1);
  const std::string refused = host_has_bmi1() ? "" : "--cpu: bmi1=on needs a host with BMI1";
  EXPECT_EQ(problem_with({"--cpu", "bmi1=on"}), refused);
}

TEST(RunOptions, TranslatorItemsSetLimitsAndTortures) {
  RunOptions options;
  ASSERT_EQ(parse_run({"--kernel", "k", "--translator",
                       "arena=64K,unit-max=1,links=off,drop-every=7,verify-every=3,"
                       "refuse-every=2"},
                      &options),
            "");
  EXPECT_EQ(options.machine.translator.arena_bytes, 65536U);
  EXPECT_EQ(options.machine.translator.limits.max_instructions, 1U);
  EXPECT_FALSE(options.machine.translator.make_links);
  EXPECT_EQ(options.machine.vcpu.torture.drop_every, 7U);
  EXPECT_EQ(options.machine.vcpu.torture.verify_every, 3U);
  EXPECT_EQ(options.machine.refuse_every, 2U);
}

TEST(RunOptions, BadSubOptionsNameTheItemAndWhatThereIs) {
  EXPECT_NE(problem_with({"--cpu", "pae=maybe"}).find("'pae=maybe'"), std::string::npos);
  EXPECT_NE(problem_with({"--cpu", "cores=2"}).find("model=core|pentium3"), std::string::npos);
  EXPECT_NE(problem_with({"--translator", "arena=1K"}).find("arena=64K..1G"), std::string::npos);
  EXPECT_NE(problem_with({"--translator", "unit-max=0"}).find("'unit-max=0'"), std::string::npos);
  EXPECT_NE(problem_with({"--engine", "warp"}).find("translate, interpret"), std::string::npos);
  EXPECT_NE(problem_with({"--serial", "tcp:1"}).find("file=PATH"), std::string::npos);
}

TEST(RunOptions, ProblemsAreOneLine) {
  const std::vector<Words> bad = {{"--cpu", "x"},  {"--translator", "x"}, {"--serial", "x"},
                                  {"--stats=x"},   {"--nonsense"},        {"stray"},
                                  {"--memory", ""}};
  for (const Words& words : bad) {
    const std::string problem = problem_with(words);
    EXPECT_NE(problem, "") << words[0];
    EXPECT_EQ(problem.find('\n'), std::string::npos) << problem;
  }
}

TEST(RunOptions, StatsIsTextUnlessAFormatIsGiven) {
  const std::vector<std::pair<Words, StatsFormat>> cases = {
      {{"--stats"}, StatsFormat::Text},
      {{"--stats=text"}, StatsFormat::Text},
      {{"--stats=all"}, StatsFormat::AllText},
      {{"--stats", "json"}, StatsFormat::Json},
      {{"--stats-file", "f"}, StatsFormat::Json},
      {{"--stats=text", "--stats-file", "f"}, StatsFormat::Text},
  };
  for (const auto& [words, format] : cases) {
    RunOptions options;
    Words all = {"--kernel", "k"};
    all.insert(all.end(), words.begin(), words.end());
    ASSERT_EQ(parse_run(all, &options), "") << words[0];
    EXPECT_EQ(options.stats, format) << words[0];
  }
}

TEST(RunOptions, AnOptionMayFollowStatsWithoutAFormat) {
  RunOptions options;
  ASSERT_EQ(parse_run({"--stats", "--kernel", "k"}, &options), "");
  EXPECT_EQ(options.stats, StatsFormat::Text);
  EXPECT_EQ(options.machine.boot.kernel_path, "k");
}

TEST(RunOptions, ModulesKeepTheirArguments) {
  RunOptions options;
  ASSERT_EQ(parse_run({"--kernel", "k", "--module", "a b c", "--module", "d"}, &options), "");
  ASSERT_EQ(options.machine.boot.modules.size(), 2U);
  EXPECT_EQ(options.machine.boot.modules[0].path, "a");
  EXPECT_EQ(options.machine.boot.modules[0].command_line, "b c");
  EXPECT_EQ(options.machine.boot.modules[1].path, "d");
  EXPECT_EQ(options.machine.boot.modules[1].command_line, "");
}

TEST(RunOptions, ADebuggerIsLetInWhereItIsSaid) {
  RunOptions options;
  ASSERT_EQ(parse_run({"--kernel", "k"}, &options), "");
  EXPECT_EQ(options.debug.gdb.kind, SocketAddress::Kind::None);
  EXPECT_FALSE(options.debug.starts_paused);
  RunOptions usual;
  ASSERT_EQ(parse_run({"--kernel", "k", "-s", "-S"}, &usual), "");
  EXPECT_EQ(usual.debug.gdb.port, 1234);
  EXPECT_EQ(usual.debug.gdb.host, "127.0.0.1");
  EXPECT_TRUE(usual.debug.starts_paused);
  RunOptions own;
  ASSERT_EQ(parse_run({"--kernel", "k", "--gdb", "unix=/x/y,wait"}, &own), "");
  EXPECT_EQ(own.debug.gdb.path, "/x/y");
  EXPECT_TRUE(own.debug.starts_paused);
  RunOptions bad;
  EXPECT_EQ(parse_run({"--kernel", "k", "--gdb", "tcp=1234"}, &bad),
            "--gdb: cannot use 'tcp=1234' (tcp=[HOST]:PORT, unix=PATH; ,wait)");
  RunOptions nobody;
  EXPECT_EQ(parse_run({"--kernel", "k", "-S", "--serial", "none"}, &nobody),
            "--paused: nobody could let the guest go on (--gdb, --qmp, or --serial console)");
}

TEST(RunOptions, SerialMayBeAFile) {
  RunOptions options;
  ASSERT_EQ(parse_run({"--kernel", "k", "--serial", "file=log"}, &options), "");
  EXPECT_EQ(options.machine.ports.serial.kind, PortTarget::Kind::File);
  EXPECT_EQ(options.machine.ports.serial.path, "log");
}

TEST(TranslateOptions, DefaultsAreTheEntryPointInRingZeroWithAWindow) {
  TranslateOptions options;
  ASSERT_EQ(parse_translate({"--kernel", "k"}, &options), "");
  EXPECT_FALSE(options.at_address);
  EXPECT_EQ(options.access_style, AccessStyle::Window);
  EXPECT_EQ(options.guest.machine.ports.serial.kind, PortTarget::Kind::None);
  EXPECT_FALSE(options.guest.machine.raw_console);
}

TEST(TranslateOptions, UserCodeIsSoftUnlessAskedOtherwise) {
  TranslateOptions options;
  ASSERT_EQ(parse_translate({"--raw", "f", "--ring", "3", "--base", "0x8048000"}, &options), "");
  EXPECT_EQ(options.access_style, AccessStyle::Soft);
  EXPECT_EQ(options.base_address, 0x8048000U);
  TranslateOptions other;
  ASSERT_EQ(parse_translate({"--raw", "f", "--ring", "3", "--style", "window"}, &other), "");
  EXPECT_EQ(other.access_style, AccessStyle::Window);
}

TEST(TranslateOptions, WhatContradictsItselfIsRefused) {
  const std::vector<Words> bad = {{},
                                  {"--kernel", "k", "--raw", "f"},
                                  {"--kernel", "k", "--at", "1", "--entry"},
                                  {"--kernel", "k", "--at", "here"},
                                  {"--kernel", "k", "--ring", "1"},
                                  {"--kernel", "k", "--style", "hard"},
                                  {"--kernel", "k", "--blocks", "0"},
                                  {"--raw", "f", "--base", "high"},
                                  {"--kernel", "k", "--count", "-1"}};
  for (const Words& words : bad) {
    TranslateOptions options;
    EXPECT_NE(parse_translate(words, &options), "");
  }
}

}  // namespace
}  // namespace ringshift
