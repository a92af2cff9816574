// QmpSession: one client that speaks QMP: greeting, negotiation, requests and their answers,
// events. Owns: the message that is coming. Does not own: the machine. See docs/control.md; QEMU,
// docs/interop/qmp-spec.txt.
#pragma once

#include <string>

#include "monitor/control/control_session.h"
#include "monitor/control/message_reader.h"
#include "monitor/control/qmp_commands.h"

namespace ringshift::control {

class QmpSession final : public ControlSession {
 public:
  // pretty: answers are indented. version: of this program, three numbers with dots between.
  QmpSession(Send send, std::string version, bool pretty)
      : send_(std::move(send)), version_(std::move(version)), pretty_(pretty) {}

  void begin() override;
  [[nodiscard]] bool take(std::span<const uint8_t>* bytes, ControlTarget& target) override;
  void tell(const ControlEvent& event) override;

 private:
  void say(JsonValue::Object message) {
    send_(JsonValue(std::move(message)).text(pretty_) + "\r\n");
  }
  [[nodiscard]] QmpReply answer(const JsonValue& request, ControlTarget& target);
  [[nodiscard]] QmpReply execute(const JsonValue& request, ControlTarget& target);
  [[nodiscard]] QmpReply negotiate(const JsonValue* arguments);

  Send send_;
  std::string version_;
  bool pretty_;
  bool negotiated_ = false;
  MessageReader reader_;
};

}  // namespace ringshift::control
