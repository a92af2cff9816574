// MonitorSession: one client of a monitor's socket: lines into answers, as at the prompt of Ctrl-A
// c. Owns: the line that is coming, bounded. The guest runs on meanwhile. See docs/control.md.
#pragma once

#include <string>
#include <utility>

#include "monitor/control/control_session.h"

namespace ringshift::control {

class MonitorSession final : public ControlSession {
 public:
  static constexpr size_t kLongestLine = 4096;

  MonitorSession(Send send, std::string version)
      : send_(std::move(send)), version_(std::move(version)) {}

  void begin() override;
  [[nodiscard]] bool take(std::span<const uint8_t>* bytes, ControlTarget& target) override;
  void tell(const ControlEvent&) override {}  // a person asks

 private:
  void say(const std::string& text);

  Send send_;
  std::string version_;
  std::string line_;
  bool too_long_ = false;
};

}  // namespace ringshift::control
