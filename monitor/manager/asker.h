// Asker: a command that asks a manager something and waits for its answers. Owns: the connection.
// See docs/machines.md.
#pragma once

#include <functional>
#include <string>

#include "monitor/control/json_value.h"
#include "monitor/manager/run_folder.h"
#include "monitor/manager/wire.h"

namespace ringshift::manager {

class Asker {
 public:
  // False with one line in *problem: no manager runs there.
  [[nodiscard]] bool connect(const RunFolder& folder, std::string* problem);

  void say(const control::JsonValue& request) { wire_.say(request); }
  // Calls on_answer for each answer before the one that ends the request; returns that one's exit
  // code. A problem of the manager's is printed as one line. on_answer returns false to stop
  // earlier.
  [[nodiscard]] int listen(const std::function<bool(const control::JsonValue&)>& on_answer);

 private:
  Wire wire_;
};

}  // namespace ringshift::manager
