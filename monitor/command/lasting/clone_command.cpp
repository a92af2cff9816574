#include "monitor/command/lasting/clone_command.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "monitor/control/json_value.h"
#include "monitor/migration/socket_stream.h"
#include "shadowmmu/base/host_connection.h"

namespace ringshift {
namespace {

using control::JsonValue;
using Object = JsonValue::Object;

constexpr const char* kFreezes = "--freeze-disks";
constexpr int kLookMilliseconds = 2;

// A client of a machine's QMP socket. Each function is false with one line in *problem.
class QmpClient {
 public:
  QmpClient(std::string where, int socket)
      : where_(std::move(where)), stream_(socket, [] { return true; }) {}

  bool begin(std::string* problem) {
    JsonValue greeting;
    if (!stream_.wait_until_connected(problem)) {
      *problem = "clone: " + where_ + ": " + *problem;
      return false;
    }
    if (!read(&greeting, problem)) return false;
    if (greeting.find("QMP") == nullptr) return fail("does not speak QMP", problem);
    JsonValue nothing;
    return ask("qmp_capabilities", {}, &nothing, problem);
  }
  // Events that come before the answer are passed over.
  bool ask(const char* command, Object arguments, JsonValue* answer, std::string* problem) {
    Object request{{"execute", command}};
    if (!arguments.empty()) request.push_back({"arguments", std::move(arguments)});
    const std::string text = JsonValue(std::move(request)).text() + "\n";
    if (!stream_.write({reinterpret_cast<const uint8_t*>(text.data()), text.size()})) {
      return fail("the machine has gone", problem);
    }
    while (true) {
      JsonValue message;
      if (!read(&message, problem)) return false;
      if (const JsonValue* error = message.find("error")) {
        const JsonValue* why = error->find("desc");
        const std::string* words = why != nullptr ? why->as_text() : nullptr;
        return fail(words != nullptr ? *words : "refuses", problem);
      }
      if (const JsonValue* value = message.find("return")) {
        *answer = *value;
        return true;
      }
    }
  }
  bool fail(const std::string& why, std::string* problem) const {
    *problem = "clone: " + where_ + ": " + why;
    return false;
  }

 private:
  bool read(JsonValue* message, std::string* problem) {
    constexpr size_t kLongest = 1 << 20;
    std::string line;
    uint8_t byte = 0;
    while (stream_.read({&byte, 1})) {
      if (byte == '\n') break;
      if (line.size() == kLongest) return fail("says too much", problem);
      line.push_back(static_cast<char>(byte));
    }
    size_t at = 0;
    if (byte != '\n') return fail("the machine has gone, or is busy with another client", problem);
    if (!control::parse_json(line, message, &at)) return fail("does not speak QMP", problem);
    return true;
  }

  std::string where_;
  SocketStream stream_;
};

std::string text_of(const JsonValue& value, const char* name) {
  const JsonValue* found = value.find(name);
  const std::string* text = found != nullptr ? found->as_text() : nullptr;
  return text != nullptr ? *text : "";
}

// The file of the clone, once there is one.
bool make_clone(QmpClient* client, bool freezes_disks, std::string* file, std::string* problem) {
  JsonValue answer;
  Object arguments;
  if (freezes_disks) arguments.push_back({"disks", "freeze"});
  if (!client->ask("x-ringshift-clone", std::move(arguments), &answer, problem)) return false;
  while (true) {
    if (!client->ask("x-ringshift-query-clone", {}, &answer, problem)) return false;
    const std::string status = text_of(answer, "status");
    *file = text_of(answer, "file");
    if (status == "ready" && !file->empty()) return true;
    if (status != "preparing" && status != "copying") {
      return client->fail(text_of(answer, "error-desc"), problem);
    }
    (void)poll(nullptr, 0, kLookMilliseconds);
  }
}

}  // namespace

bool cloned_words(std::vector<std::string>* words, std::string* problem) {
  if (words->size() < 2 || (*words)[1].empty() || (*words)[1][0] == '-') {
    *problem =
        "clone: needs the QMP socket of a machine that runs (ringshift clone SOCKET [OPTION...])";
    return false;
  }
  constexpr const char* kUnix = "unix:";
  const std::string& typed = (*words)[1];
  const std::string where = typed.starts_with(kUnix) ? typed : kUnix + typed;
  const int socket = begin_connection(where.c_str());
  if (socket < 0) {
    *problem = "clone: cannot connect to " + where + ": " + std::strerror(errno);
    return false;
  }
  QmpClient client(where, socket);
  const auto freezes = std::find(words->begin(), words->end(), kFreezes);
  const bool freezes_disks = freezes != words->end();
  if (freezes_disks) words->erase(freezes);
  std::string file;
  if (!client.begin(problem) || !make_clone(&client, freezes_disks, &file, problem)) return false;
  (*words)[0] = "resume";
  (*words)[1] = file;
  return true;
}

}  // namespace ringshift
