// RunSandbox: the steps by which `ringshift run` confines itself, in order: the broker first, the
// rest once everything that needs more rights has been done. Owns: the broker. See
// docs/security.md, "The monitor itself".
#pragma once

#include <memory>
#include <string>

#include "monitor/command/options/options.h"
#include "monitor/host/sandbox/confinement.h"
#include "monitor/host/sandbox/file_broker.h"

namespace ringshift {

class RunSandbox {
 public:
  RunSandbox() = default;
  ~RunSandbox();
  RunSandbox(const RunSandbox&) = delete;
  RunSandbox& operator=(const RunSandbox&) = delete;

  // Called first of all: the broker inherits every descriptor that is open by then. False with one
  // line in *problem.
  [[nodiscard]] bool prepare(const RunOptions& options, std::string* problem);
  // For good. False with one line in *problem where all of it is required and something missing.
  [[nodiscard]] bool close(ConfinementOutcome* outcome, std::string* problem);

 private:
  Sandbox how_ = Sandbox::Off;
  std::unique_ptr<FileBroker> broker_;
};

}  // namespace ringshift
