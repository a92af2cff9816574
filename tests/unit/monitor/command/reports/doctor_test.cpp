#include "monitor/command/reports/doctor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

namespace ringshift {
namespace {

HostFacts good_host() {
  HostFacts facts;
  facts.cpu_vendor = "GenuineIntel";
  facts.cpu_model = "Some Processor";
  facts.sse42 = facts.lahf64 = facts.bmi2 = facts.fsgsbase = true;
  facts.memfd = facts.code_arena = facts.code_runs = {true, ""};
  facts.window = facts.many_windows = facts.timer = {true, ""};
  facts.max_map_count = 65530;
  facts.mmap_min_addr = 65536;
  facts.overcommit_memory = 0;
  facts.signal_nanoseconds = 2000;
  facts.mapping_nanoseconds = 3000;
  facts.compatibility_mode = facts.cpuid_faulting = true;
  facts.direct_execution = {true, ""};
  facts.sandbox_filter = true;
  facts.landlock_version = 7;
  facts.user_id = 1000;
  facts.capabilities = 0;
  return facts;
}

Finding finding_of(const HostFacts& facts, const std::string& name) {
  const std::vector<Finding> findings = examine(facts);
  const auto found = std::find_if(findings.begin(), findings.end(),
                                  [&](const Finding& finding) { return finding.name == name; });
  EXPECT_NE(found, findings.end()) << name;
  return found == findings.end() ? Finding{} : *found;
}

size_t count_lines(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

TEST(Doctor, AGoodHostIsOkThroughout) {
  const std::vector<Finding> findings = examine(good_host());
  EXPECT_TRUE(is_usable(findings));
  for (const Finding& finding : findings) {
    EXPECT_EQ(finding.verdict, Verdict::Ok) << finding.name;
    EXPECT_NE(finding.value, "") << finding.name;
    EXPECT_NE(finding.note, "") << finding.name;
  }
}

TEST(Doctor, AHostThatOffersNothingIsUnusable) { EXPECT_FALSE(is_usable(examine(HostFacts()))); }

TEST(Doctor, TheSameFindingsWhateverTheHost) {
  std::vector<std::string> good;
  std::vector<std::string> bad;
  for (const Finding& finding : examine(good_host())) good.push_back(finding.name);
  for (const Finding& finding : examine(HostFacts())) bad.push_back(finding.name);
  EXPECT_EQ(good, bad);
  EXPECT_EQ(std::set<std::string>(good.begin(), good.end()).size(), good.size());
}

TEST(Doctor, MissingEssentialsAreNamedWithTheHostsWords) {
  HostFacts facts = good_host();
  facts.code_arena = {false, "cannot map the code arena: Permission denied"};
  const Finding finding = finding_of(facts, "executable-mapping");
  EXPECT_EQ(finding.verdict, Verdict::Missing);
  EXPECT_TRUE(finding.needed);
  EXPECT_NE(finding.value.find("Permission denied"), std::string::npos);
  EXPECT_FALSE(is_usable(examine(facts)));
}

TEST(Doctor, EachEssentialAloneMakesAHostUnusable) {
  for (HostAnswer HostFacts::*essential :
       {&HostFacts::memfd, &HostFacts::code_arena, &HostFacts::code_runs, &HostFacts::window,
        &HostFacts::timer}) {
    HostFacts facts = good_host();
    facts.*essential = {false, "no"};
    EXPECT_FALSE(is_usable(examine(facts)));
  }
}

TEST(Doctor, WithoutBmi2SoftAccessesAreSlowerButWork) {
  HostFacts facts = good_host();
  facts.bmi2 = false;
  EXPECT_EQ(finding_of(facts, "bmi2").verdict, Verdict::Slower);
  EXPECT_TRUE(is_usable(examine(facts)));
}

TEST(Doctor, WithoutBmi2AndLahfNothingKeepsTheFlags) {
  HostFacts facts = good_host();
  facts.lahf64 = false;
  EXPECT_TRUE(is_usable(examine(facts)));
  facts.bmi2 = false;
  EXPECT_FALSE(is_usable(examine(facts)));
}

TEST(Doctor, FewHostMappingsAreSlower) {
  HostFacts facts = good_host();
  facts.max_map_count = 10000;
  EXPECT_EQ(finding_of(facts, "vm.max_map_count").verdict, Verdict::Slower);
  EXPECT_EQ(finding_of(facts, "vm.max_map_count").value, "10000");
  facts.max_map_count.reset();
  EXPECT_EQ(finding_of(facts, "vm.max_map_count").value, "unknown");
}

TEST(Doctor, AnAddressSpaceLimitMattersBelowTheWindows) {
  HostFacts facts = good_host();
  facts.address_space_limit = uint64_t{1} << 46;
  EXPECT_EQ(finding_of(facts, "rlimit-as").verdict, Verdict::Ok);
  facts.address_space_limit = kManyWindowsBytes - 1;
  EXPECT_EQ(finding_of(facts, "rlimit-as").verdict, Verdict::Slower);
  facts.address_space_limit = kWindowReservationBytes - 1;
  EXPECT_EQ(finding_of(facts, "rlimit-as").verdict, Verdict::Missing);
  EXPECT_FALSE(is_usable(examine(facts)));
}

TEST(Doctor, DearSignalsAreSlowerAndNoSignalsAreFatal) {
  HostFacts facts = good_host();
  facts.signal_nanoseconds = 50000;
  EXPECT_EQ(finding_of(facts, "signal-cost").verdict, Verdict::Slower);
  EXPECT_EQ(finding_of(facts, "signal-cost").value, "50.0 us");
  facts.signal_nanoseconds.reset();
  EXPECT_FALSE(is_usable(examine(facts)));
}

TEST(Doctor, WhatOnlyDirectExecutionUsesIsNotNeeded) {
  HostFacts facts = good_host();
  facts.fsgsbase = facts.compatibility_mode = false;
  facts.cpuid_faulting = false;
  facts.direct_execution = {false, "ptrace is not allowed"};
  EXPECT_TRUE(is_usable(examine(facts)));
  EXPECT_EQ(finding_of(facts, "compatibility-mode").verdict, Verdict::Missing);
  EXPECT_EQ(finding_of(facts, "direct-execution").verdict, Verdict::Slower);
  EXPECT_EQ(finding_of(facts, "direct-execution").note,
            "user code runs translated: ptrace is not allowed");
}

TEST(Doctor, PrivilegesAndKvmMakeNoDifference) {
  HostFacts facts = good_host();
  facts.user_id = 0;
  facts.capabilities = ~uint64_t{0};
  facts.kvm_device = true;
  EXPECT_EQ(finding_of(facts, "privilege").verdict, Verdict::Ok);
  EXPECT_EQ(finding_of(facts, "kvm").value, "present");
  EXPECT_EQ(finding_of(facts, "kvm").note, "not used");
}

TEST(Doctor, TextIsOneLineAFindingAndOneThatSumsUp) {
  const std::vector<Finding> findings = examine(good_host());
  const std::string text = findings_as_text(findings);
  EXPECT_EQ(count_lines(text), findings.size() + 1);
  EXPECT_NE(text.find("guests can run on this host\n"), std::string::npos);
}

TEST(Doctor, TextNamesWhatIsNeededAndMissing) {
  HostFacts facts = good_host();
  facts.memfd = {false, "Function not implemented"};
  facts.fsgsbase = false;
  const std::string text = findings_as_text(examine(facts));
  EXPECT_NE(text.find("guests cannot run on this host: memfd\n"), std::string::npos);
  EXPECT_NE(text.find("(not needed)"), std::string::npos);
}

TEST(Doctor, JsonHasEveryFinding) {
  const std::vector<Finding> findings = examine(good_host());
  const auto json = nlohmann::json::parse(findings_as_json(findings));
  EXPECT_EQ(json["usable"], true);
  ASSERT_EQ(json["findings"].size(), findings.size());
  EXPECT_EQ(json["findings"][0]["name"], "cpu");
  EXPECT_EQ(json["findings"][0]["verdict"], "ok");
}

TEST(Doctor, JsonSurvivesStrangeProcessorNames) {
  HostFacts facts = good_host();
  facts.cpu_model = "\xff\xfe model";
  EXPECT_TRUE(nlohmann::json::accept(findings_as_json(examine(facts))));
}

TEST(HostFacts, OfThisHostLetGuestsRun) {
  const HostFacts facts = collect_host_facts();
  EXPECT_NE(facts.cpu_vendor, "");
  EXPECT_TRUE(facts.code_runs.ok) << facts.code_runs.error;
  EXPECT_TRUE(facts.signal_nanoseconds.has_value());
  EXPECT_TRUE(facts.mapping_nanoseconds.has_value());
}

}  // namespace
}  // namespace ringshift
