#include "monitor/command/manual/value_words.h"

#include <algorithm>

namespace ringshift::manual {
namespace {

struct ValueWords {
  const char* option;
  const char* words;  // apart at blanks
};

constexpr ValueWords kValueWords[] = {
    {"--cpu",
     "model=core model=pentium3 pae=on pae=off nx=on nx=off meltdown=on meltdown=off sysenter=on "
     "sysenter=off bmi1=on bmi1=off"},
    {"--machine", "apic=on apic=off hpet=on hpet=off acpi=on acpi=off"},
    {"--translator",
     "arena= unit-max= links=on links=off callouts=on callouts=off relocate=on relocate=off "
     "drop-every= verify-every= refuse-every= share-every="},
    {"--limit", "cpu= shares= memory= memory-min= disk= network= group="},
    {"--engine", "translate interpret trap"},
    {"--user", "auto direct translate"},
    {"--shadow", "auto tlb trace"},
    {"--sandbox", "on off require"},
    {"--verify-ram", "first later off"},
    {"--share-pages", "on off rate="},
    {"--display", "none text vnc= web"},
    {"--serial", "console none file= pty pipe: unix: tcp: telnet: udp:"},
    {"--serial2", "none file= pty pipe: unix: tcp: telnet: udp:"},
    {"--debugcon", "console none file= pty pipe: unix: tcp: telnet: udp:"},
    {"--net", "none user stream"},
    {"--rtc", "utc localtime"},
    {"--stats", "text all json"},
    {"--style", "window soft"},
    {"--ring", "0 3"},
};

}  // namespace

std::vector<std::string> words_of_value(const std::string& option) {
  const auto* const found =
      std::find_if(std::begin(kValueWords), std::end(kValueWords),
                   [&](const ValueWords& row) { return option == row.option; });
  std::vector<std::string> words;
  if (found == std::end(kValueWords)) return words;
  words.emplace_back();
  for (const char* at = found->words; *at != '\0'; ++at) {
    if (*at == ' ') {
      words.emplace_back();
    } else {
      words.back().push_back(*at);
    }
  }
  return words;
}

}  // namespace ringshift::manual
