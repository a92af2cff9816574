#include "monitor/control/qmp_session.h"

#include <optional>
#include <utility>

namespace ringshift::control {
namespace {

// The members that a request may have, and the kind of each.
QmpReply check_members(const JsonValue& request) {
  for (const JsonMember& member : *request.as_object()) {
    if (member.name == "execute") {
      if (member.value.as_text() == nullptr) {
        return QmpReply::error("QMP input member 'execute' must be a string");
      }
    } else if (member.name == "arguments") {
      if (member.value.as_object() == nullptr) {
        return QmpReply::error("QMP input member 'arguments' must be an object");
      }
    } else if (member.name == "exec-oob") {
      return QmpReply::error("out-of-band execution is no capability of this monitor");
    } else if (member.name != "id") {
      return QmpReply::error("QMP input member '" + shown(member.name) + "' is unexpected");
    }
  }
  if (request.find("execute") == nullptr) {
    return QmpReply::error("QMP input lacks member 'execute'");
  }
  return QmpReply::nothing();
}

}  // namespace

void QmpSession::begin() {
  say({{"QMP", JsonValue::Object{{"version", version_of(version_)},
                                 {"capabilities", JsonValue::Array{}}}}});
}

bool QmpSession::take(std::span<const uint8_t>* bytes, ControlTarget& target) {
  const std::optional<Message> message = reader_.take(bytes);
  if (!message) return false;
  JsonValue request;
  const QmpReply reply = [&] {
    size_t at = 0;
    if (!message->problem.empty()) return QmpReply::error(message->problem);
    if (!parse_json(message->text, &request, &at)) {
      reader_.pass_over_line();
      return QmpReply::error("JSON parse error, at byte " + std::to_string(at));
    }
    return answer(request, target);
  }();
  JsonValue::Object said;
  if (reply.is_error) {
    said.push_back(
        {"error", JsonValue::Object{{"class", reply.error_class}, {"desc", reply.text}}});
  } else {
    said.push_back({"return", reply.value});
  }
  if (const JsonValue* id = request.find("id")) said.push_back({"id", *id});
  say(std::move(said));
  return true;
}

QmpReply QmpSession::answer(const JsonValue& request, ControlTarget& target) {
  if (request.as_object() == nullptr) return QmpReply::error("QMP input must be a JSON object");
  const QmpReply checked = check_members(request);
  return checked.is_error ? checked : execute(request, target);
}

QmpReply QmpSession::execute(const JsonValue& request, ControlTarget& target) {
  const std::string& name = *request.find("execute")->as_text();
  const JsonValue* arguments = request.find("arguments");
  if (name == "qmp_capabilities") return negotiate(arguments);
  if (!negotiated_) {
    return QmpReply::not_found("Expecting capabilities negotiation with 'qmp_capabilities'");
  }
  return run_qmp_command(name, arguments, target);
}

QmpReply QmpSession::negotiate(const JsonValue* arguments) {
  if (negotiated_) {
    return QmpReply::not_found("Capabilities negotiation is already complete, command ignored");
  }
  const JsonValue* wanted = arguments != nullptr ? arguments->find("enable") : nullptr;
  if (wanted != nullptr && (wanted->as_array() == nullptr || !wanted->as_array()->empty())) {
    return QmpReply::error("this monitor has no capabilities to enable");
  }
  negotiated_ = true;
  return QmpReply::nothing();
}

void QmpSession::tell(const ControlEvent& event) {
  if (!negotiated_) return;
  JsonValue::Object said{{"timestamp", JsonValue::Object{{"seconds", event.seconds},
                                                         {"microseconds", event.microseconds}}},
                         {"event", event.name}};
  if (!event.data.empty()) said.push_back({"data", event.data});
  say(std::move(said));
}

}  // namespace ringshift::control
