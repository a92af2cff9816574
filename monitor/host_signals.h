// Host signals: classify by RIP, record, redirect to the gate's leave path, return (V2).
// Owns: the handlers and the alternate stack of the vCPU thread. They decide nothing.
// Called by: machine (install, once, on the vCPU thread). One machine a process.
// See docs/faults-and-exits.md.
#pragma once

#include <string>

#include "monitor/attention.h"
#include "translator/gate.h"

namespace ringshift {

class HostSignals {
 public:
  // gate may be null (interpreter only). Returns false with one line in *error.
  [[nodiscard]] static bool install(Gate* gate, Attention* attention, std::string* error);
  // Back to the default actions; the gate and attention may be destroyed after this.
  static void uninstall();

  // SIGTERM, SIGHUP or SIGINT has asked us to end; the vCPU loop looks at each attention.
  [[nodiscard]] static bool termination_requested();

  // SIGUSR1 has asked for the statistics as they are; asking for it forgets it.
  [[nodiscard]] static bool take_report_request();

  // The signal that means "attention": sent by the timer to the vCPU thread.
  [[nodiscard]] static int attention_signal();
};

}  // namespace ringshift
