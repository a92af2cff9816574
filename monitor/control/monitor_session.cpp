#include "monitor/control/monitor_session.h"

#include "monitor/debug/prompt/monitor_commands.h"

namespace ringshift::control {
namespace {

constexpr char kPrompt[] = "(ringshift) ";

}  // namespace

void MonitorSession::say(const std::string& text) {
  std::string sent;
  for (const char c : text) {
    if (c == '\n') sent.push_back('\r');
    sent.push_back(c);
  }
  send_(sent);
}

void MonitorSession::begin() {
  say("ringshift " + version_ + " monitor - type 'help' for more information\n" + kPrompt);
}

bool MonitorSession::take(std::span<const uint8_t>* bytes, ControlTarget& target) {
  while (!bytes->empty()) {
    const auto byte = static_cast<char>(bytes->front());
    *bytes = bytes->subspan(1);
    if (byte != '\n') {
      // A terminal's end of line is two bytes; nothing else that is not printed belongs in a line.
      too_long_ = too_long_ || line_.size() >= kLongestLine;
      if (!too_long_ && static_cast<unsigned char>(byte) >= ' ') line_.push_back(byte);
      continue;
    }
    const std::string line = std::exchange(line_, {});
    say((std::exchange(too_long_, false) ? "the line is too long\n"
                                         : debug::run_monitor_line(target, line)) +
        kPrompt);
    return true;
  }
  return false;
}

}  // namespace ringshift::control
