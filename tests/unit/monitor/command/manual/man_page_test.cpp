#include "monitor/command/manual/man_page.h"

#include <gtest/gtest.h>

#include <CLI/App.hpp>

#include "monitor/command/manual/completions.h"
#include "monitor/command/manual/describe_command.h"
#include "monitor/command/options/options.h"

namespace ringshift::manual {
namespace {

// The program's, as far as these pages are concerned, with an option that needs escapes.
class ManPage : public testing::Test {
 protected:
  ManPage() {
    CLI::App* run = app_.add_subcommand("run", "boot a guest");
    add_run_options(*run, &options_);
    run->add_option("--odd", odd_, ".begins 'so',\n[and] has a \\ in it")->type_name("FILE");
    run->footer(".line\n");
    add_describe_command(app_, &form_);
  }

  CLI::App app_{"a program", "ringshift"};
  RunOptions options_;
  std::string odd_, form_;
};

TEST_F(ManPage, NamesEveryOptionThatTheParserHas) {
  const std::string page = man_page(read_commands(app_), "1.2.3");
  for (const CLI::Option* option : app_.get_subcommand("run")->get_options()) {
    std::string name = option->get_lnames().empty() ? "s" : option->get_lnames().front();
    for (size_t at = 0; (at = name.find('-', at)) != std::string::npos; at += 2) {
      name.insert(at, "\\");
    }
    EXPECT_NE(page.find("\\-" + name + "\\fR"), std::string::npos) << name;
  }
  EXPECT_NE(page.find("ringshift 1.2.3"), std::string::npos);
}

TEST_F(ManPage, LeavesNothingToBeTakenForARequest) {
  const std::string page = man_page(read_commands(app_), "1.2.3");
  EXPECT_NE(page.find("\n\\&.begins \\(aqso\\(aq, [and] has a \\e in it\n"), std::string::npos);
  EXPECT_NE(page.find("\n\\&.line\n"), std::string::npos);
}

TEST_F(ManPage, SaysNothingOfHiddenCommands) {
  EXPECT_EQ(man_page(read_commands(app_), "1").find("describe"), std::string::npos);
}

TEST_F(ManPage, OptionsOfQemusAreCompletedAsOurs) {
  const CommandText program = read_commands(app_);
  bool found = false;
  for (const OptionText& option : qemu_options(command_of(program, "run"))) {
    EXPECT_NE(option.names.front(), "-pflash") << "is refused";
    if (option.names.front() != "-kernel") continue;
    found = true;
    EXPECT_EQ(option.takes, Takes::File);
  }
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace ringshift::manual
