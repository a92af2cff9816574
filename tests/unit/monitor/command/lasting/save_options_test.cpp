// Save options: --save as it is typed, and the words that make a saved machine again.
#include "monitor/command/lasting/save_options.h"

#include <gtest/gtest.h>

namespace ringshift {
namespace {

using Words = std::vector<std::string>;

TEST(SaveOptions, AFileAndWhatBecomesOfTheMachine) {
  SaveRequest save;
  std::string problem;
  ASSERT_TRUE(parse_save("a.saved", &save, &problem)) << problem;
  EXPECT_EQ(save.path, "a.saved");
  EXPECT_FALSE(save.then_run);
  EXPECT_EQ(save.after, 0);
  ASSERT_TRUE(parse_save("b,,c,then=run,after=3", &save, &problem)) << problem;
  EXPECT_EQ(save.path, "b,c");
  EXPECT_TRUE(save.then_run);
  EXPECT_EQ(save.after, 3'000'000'000);
}

TEST(SaveOptions, WhatMakesNoSenseIsNamed) {
  for (const char* text : {"", ",then=run", "f,then=stay", "f,after=0", "f,after=x", "f,"}) {
    SaveRequest save;
    std::string problem;
    EXPECT_FALSE(parse_save(text, &save, &problem)) << text;
    EXPECT_EQ(problem.rfind("--save: ", 0), 0U) << problem;
  }
}

TEST(SaveOptions, TheWordsThatAreKeptDoNotSaveAgain) {
  EXPECT_EQ(words_to_keep({"run", "--save", "f", "--kernel", "k"}),
            (Words{"run", "--kernel", "k"}));
  EXPECT_EQ(words_to_keep({"run", "--save=f", "-s"}), (Words{"run", "-s"}));
  EXPECT_EQ(words_to_keep({"run", "--save"}), Words{"run"});
  EXPECT_EQ(words_to_keep({"run", "--qmp", "unix:a", "--monitor=unix:b", "-s"}),
            (Words{"run", "-s"}));
  EXPECT_EQ(words_to_keep({"run", "--verify-ram", "off", "-s", "--verify-ram=first"}),
            (Words{"run", "-s"}));
}

TEST(SaveOptions, ACloneLeavesWhatIsTheOtherMachines) {
  EXPECT_EQ(words_for_clone({"run", "--serial", "file:a", "--serial2=file:b", "--debugcon", "none",
                             "--daemonize", "--pidfile", "p", "--gdb=tcp:1", "-s"}),
            (Words{"run", "--debugcon", "none", "-s"}));
}

TEST(SaveOptions, ResumeNeedsAFileThatIsOne) {
  ResumedFiles files;
  std::string problem;
  for (Words words : {Words{"resume"}, Words{"resume", ""}, Words{"resume", "-m"}}) {
    EXPECT_FALSE(resumed_words(&words, &files, &problem));
    EXPECT_EQ(problem.rfind("resume: ", 0), 0U) << problem;
  }
  Words none{"resume", "/dev/null"};
  EXPECT_FALSE(resumed_words(&none, &files, &problem));
  EXPECT_EQ(problem, "saved machine: the file ends too early");
}

TEST(SaveOptions, WhenRamIsVerified) {
  MachineConfig machine;
  std::string problem;
  EXPECT_TRUE(apply_verify_ram("", &machine, &problem));
  EXPECT_FALSE(apply_verify_ram("first", &machine, &problem)) << "nothing is resumed";
  EXPECT_EQ(problem.rfind("--verify-ram: ", 0), 0U) << problem;
  machine.resume_path = "f";
  EXPECT_EQ(machine.verify_ram, VerifyRam::Later);
  ASSERT_TRUE(apply_verify_ram("first", &machine, &problem));
  EXPECT_EQ(machine.verify_ram, VerifyRam::First);
  ASSERT_TRUE(apply_verify_ram("off", &machine, &problem));
  EXPECT_EQ(machine.verify_ram, VerifyRam::Off);
  EXPECT_FALSE(apply_verify_ram("never", &machine, &problem));
}

}  // namespace
}  // namespace ringshift
