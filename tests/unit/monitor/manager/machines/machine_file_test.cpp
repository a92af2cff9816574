#include "monitor/manager/machines/machine_file.h"

#include <gtest/gtest.h>

namespace ringshift::manager {
namespace {

manual::OptionText option(const char* name, const char* value, bool may_be_repeated = false) {
  manual::OptionText made;
  made.names = {name};
  made.value = value;
  made.may_be_repeated = may_be_repeated;
  return made;
}

manual::CommandText run_options() {
  manual::CommandText run;
  run.options = {option("--kernel", "IMAGE"),
                 option("--memory", "SIZE"),
                 option("--append", "TEXT"),
                 option("--limit", "cpu=PERCENT"),
                 option("--device", "NAME", true),
                 option("--no-reboot", ""),
                 option("--cpu", "KEY=VALUE,...", true),
                 option("--name", "TEXT")};
  return run;
}

// The words of a machine are refused if one of them is --memory=bad.
bool check(const std::vector<std::string>& words, std::string* problem) {
  for (const std::string& word : words) {
    if (word != "--memory=bad") continue;
    *problem = "--memory: 'bad' is not a size";
    return false;
  }
  return true;
}

struct Outcome {
  std::vector<MachineSpec> machines;
  std::string problem;
};

Outcome read(std::string_view text) {
  Outcome outcome;
  if (!read_machine_file(text, "file", run_options(), check, &outcome.machines, &outcome.problem)) {
    EXPECT_FALSE(outcome.problem.empty());
  }
  return outcome;
}

TEST(MachineFile, KeysBecomeTheWordsOfACommandLine) {
  const Outcome outcome = read(
      "[machine.web]\n"
      "kernel = \"bzImage\"\n"
      "memory = 64\n"
      "no-reboot = true\n"
      "device = [\"pvpanic\", \"virtio-rng-pci\"]\n"
      "limit = { cpu = \"25%\", memory = \"64M\" }\n");
  ASSERT_EQ(outcome.problem, "");
  ASSERT_EQ(outcome.machines.size(), 1U);
  EXPECT_EQ(outcome.machines[0].name, "web");
  const std::vector<std::string> expected{"run",
                                          "--device=pvpanic",
                                          "--device=virtio-rng-pci",
                                          "--kernel=bzImage",
                                          "--limit=cpu=25%,memory=64M",
                                          "--memory=64",
                                          "--no-reboot"};
  EXPECT_EQ(outcome.machines[0].words, expected);
}

TEST(MachineFile, FlagsThatAreFalseAreNotSaid) {
  const Outcome outcome = read("[machine.a]\nno-reboot = false\n");
  EXPECT_EQ(outcome.machines.at(0).words, std::vector<std::string>{"run"});
}

TEST(MachineFile, AValueThatBeginsWithADashIsAValue) {
  const Outcome outcome = read("[machine.a]\nappend = \"--quiet\"\n");
  EXPECT_EQ(outcome.machines.at(0).words.at(1), "--append=--quiet");
}

TEST(MachineFile, ASavedMachineIsResumed) {
  const Outcome outcome = read("[machine.a]\nmemory = 1\nresume = \"base\"\n");
  const std::vector<std::string> expected{"resume", "base", "--memory=1"};
  EXPECT_EQ(outcome.machines.at(0).words, expected);
}

TEST(MachineFile, MachinesComeInTheOrderOfTheFile) {
  const Outcome outcome = read("[machine.b]\nkernel = \"k\"\n[machine.a]\nkernel = \"k\"\n");
  ASSERT_EQ(outcome.machines.size(), 2U);
  EXPECT_EQ(outcome.machines[0].name, "b");
  EXPECT_EQ(outcome.machines[1].line, 3U);
}

TEST(MachineFile, JsonMakesTheSameWordsAsToml) {
  const Outcome outcome = read(
      "{\n"
      "  \"machine\": {\n"
      "    \"web\": {\n"
      "      \"memory\": 64,\n"
      "      \"kernel\": \"bzImage\",\n"
      "      \"no-reboot\": true,\n"
      "      \"device\": [\"pvpanic\", \"virtio-rng-pci\"],\n"
      "      \"limit\": {\"memory\": \"64M\", \"cpu\": \"25%\"}\n"
      "    },\n"
      "    \"again\": {\"resume\": \"base\", \"memory\": 1}\n"
      "  }\n"
      "}\n");
  ASSERT_EQ(outcome.problem, "");
  ASSERT_EQ(outcome.machines.size(), 2U);
  const std::vector<std::string> expected{"run",
                                          "--device=pvpanic",
                                          "--device=virtio-rng-pci",
                                          "--kernel=bzImage",
                                          "--limit=cpu=25%,memory=64M",
                                          "--memory=64",
                                          "--no-reboot"};
  EXPECT_EQ(outcome.machines[0].words, expected);
  EXPECT_EQ(outcome.machines[0].line, 3U);
  const std::vector<std::string> resumed{"resume", "base", "--memory=1"};
  EXPECT_EQ(outcome.machines[1].words, resumed);
  EXPECT_EQ(outcome.machines[1].line, 10U);
}

struct Bad {
  const char* name;
  const char* text;
  const char* problem;  // its beginning
};

class BadMachineFile : public testing::TestWithParam<Bad> {};

TEST_P(BadMachineFile, IsRefusedWithItsLine) {
  const Outcome outcome = read(GetParam().text);
  EXPECT_EQ(outcome.problem.substr(0, std::string(GetParam().problem).size()), GetParam().problem);
  EXPECT_EQ(outcome.problem.find('\n'), std::string::npos);
}

const Bad kBad[] = {
    {"Empty", "", "file:1: it has no machine: a table [machine.NAME] is expected"},
    {"NoMachine", "[machine]\n", "file:1: it has no machine"},
    {"NoToml", "[machine.a]\nkernel =\n", "file:2: "},
    {"NotClosed", "[machine.a\n", "file:1: "},
    {"TwiceTheSame", "[machine.a]\n[machine.a]\n", "file:2: "},
    {"TwiceTheSameKey", "[machine.a]\nmemory = 1\nmemory = 2\n", "file:3: "},
    {"AnotherTable", "[machin.a]\n",
     "file:1: 'machin' is not expected here: tables [machine.NAME] are; did you mean machine?"},
    {"KeyAtTop", "kernel = 1\n", "file:1: 'kernel' is not expected here"},
    {"MachineIsNoTable", "machine = 1\n",
     "file:1: tables [machine.NAME] are expected, not a number"},
    {"OneIsNoTable", "[machine]\na = 1\n", "file:2: a table [machine.a] is expected, not a number"},
    {"NameWithSlash", "[machine.\"../a\"]\n", "file:1: '../a' is no name of a machine"},
    {"NameIsEmpty", "[machine.\"\"]\n", "file:1: '' is no name of a machine"},
    {"NameIsLong", "[machine.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\n", "file:1: 'aaaaaaaaa"},
    {"UnknownKey", "[machine.a]\n\nmemroy = 1\n",
     "file:3: there is no option memroy; did you mean memory?"},
    {"UnlikeAnyKey", "[machine.a]\nxyzzy = 1\n", "file:2: there is no option xyzzy (the"},
    {"FlagAsText", "[machine.a]\nno-reboot = \"yes\"\n",
     "file:2: no-reboot: true or false is expected, not a text"},
    {"ValueAsFlag", "[machine.a]\nkernel = true\n",
     "file:2: kernel: a text or a number is expected, not true or false"},
    {"ListForOne", "[machine.a]\nkernel = [\n\"a\"]\n",
     "file:2: kernel: one value is expected, not a list"},
    {"ListInList", "[machine.a]\ndevice = [[1]]\n",
     "file:2: device: a text or a number is expected, not a list"},
    {"TableInTable", "[machine.a]\nlimit = { cpu = { a = 1 } }\n",
     "file:2: limit.cpu: a text or a number is expected, not a table"},
    {"Date", "[machine.a]\nkernel = 2000-01-01\n",
     "file:2: kernel: a text or a number is expected, not a date or time"},
    {"ManagersOwn", "[machine.a]\nname = \"b\"\n",
     "file:2: name is not for this file: the machine is called as its table is"},
    {"BadValue", "[machine.a]\nkernel = 1\nmemory = \"bad\"\n",
     "file:3: machine a: --memory: 'bad' is not a size"},
    {"JsonEmpty", "{}", "file:1: it has no machine: a table [machine.NAME] is expected"},
    {"JsonNotClosed", "{\"machine\": {\n\"a\": {}\n\n", "file:"},
    {"JsonGarbage", "{\n\"machine\": x}", "file:2: "},
    {"JsonBehind", "{\"machine\": {\"a\": {}}}\n}", "file:2: "},
    {"JsonTwice", "{\"machine\": {\n\"a\": {},\n\"a\": {}}}", "file:3: 'a' is there twice"},
    {"JsonAnotherTable", "{\n\"machin\": {}}",
     "file:2: 'machin' is not expected here: tables [machine.NAME] are; did you mean machine?"},
    {"JsonUnknownKey", "{\"machine\": {\"a\": {\n\n\"memroy\": 1\n}}}",
     "file:3: there is no option memroy; did you mean memory?"},
    {"JsonNumber", "{\"machine\": {\"a\": {\n\"no-reboot\": 1\n}}}",
     "file:2: no-reboot: true or false is expected, not a number"},
    {"JsonNull", "{\"machine\": {\"a\": {\n\"kernel\": null}}}",
     "file:2: kernel: a text or a number is expected, not nothing"},
    {"JsonBadValue", "{\"machine\": {\"a\": {\n\"kernel\": \"k\",\n\"memory\": \"bad\"\n}}}",
     "file:3: machine a: --memory: 'bad' is not a size"},
    {"JsonDeep",
     "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
     "file:1: it is too deep"},
    {"ResumeAsNumber", "[machine.a]\nresume = 1\n", "file:2: resume: the file of a saved machine"},
};

INSTANTIATE_TEST_SUITE_P(All, BadMachineFile, testing::ValuesIn(kBad),
                         [](const auto& bad) { return bad.param.name; });

}  // namespace
}  // namespace ringshift::manager
