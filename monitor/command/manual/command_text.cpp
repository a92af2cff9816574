#include "monitor/command/manual/command_text.h"

#include <algorithm>

#include "shadowmmu/base/check.h"

namespace ringshift::manual {

const CommandText& command_of(const CommandText& program, const std::string& name) {
  const auto found = std::find_if(program.commands.begin(), program.commands.end(),
                                  [&](const CommandText& command) { return command.name == name; });
  CHECK(found != program.commands.end());
  return *found;
}

}  // namespace ringshift::manual
