#include "monitor/manager/asker.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

#include "monitor/host/exit_codes.h"

namespace ringshift::manager {

using control::JsonValue;

bool Asker::connect(const RunFolder& folder, std::string* problem) {
  constexpr int kTries = 100, kPause = 20;  // ms: others may be in front
  for (int i = 0; i < kTries; ++i) {
    wire_ = Wire::to(folder.manager());
    if (wire_.is_open()) return true;
    if (errno != EAGAIN) break;
    (void)poll(nullptr, 0, kPause);
  }
  *problem = "no manager runs at " + folder.path + " (ringshift up begins one)";
  return false;
}

int Asker::listen(const std::function<bool(const JsonValue&)>& on_answer) {
  while (wire_.is_open()) {
    while (const std::optional<JsonValue> answer = wire_.take_message()) {
      if (answer->find("done") == nullptr) {
        if (!on_answer(*answer)) return kExitPowerOff;
        continue;
      }
      const std::string problem = text_of(*answer, "problem");
      if (!problem.empty()) std::fprintf(stderr, "ringshift: %s\n", problem.c_str());
      return static_cast<int>(number_of(*answer, "done"));
    }
    if (wire_.has_ended()) break;
    pollfd waiting = wire_.waiting_for();
    (void)poll(&waiting, 1, -1);
    wire_.serve(waiting.revents);
  }
  std::fputs("ringshift: the manager has gone\n", stderr);
  return kExitHost;
}

}  // namespace ringshift::manager
