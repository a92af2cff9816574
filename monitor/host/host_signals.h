// Host signals: classify by RIP, record, redirect to the gate's leave path, return (V2).
// Owns: the handlers, the alternate stack of the vCPU thread, the request to end and the timer that
// keeps saying so. Handlers decide nothing. Called by: command line (hold), machine (install, on
// the vCPU thread). One machine a process. See docs/faults-and-exits.md.
#pragma once

#include <string>

#include "monitor/host/attention.h"
#include "translator/gate.h"

namespace ringshift {

class HostSignals {
 public:
  // gate may be null (interpreter only). Returns false with one line in *error.
  [[nodiscard]] static bool install(Gate* gate, Attention* attention, std::string* error);
  // Back to the default actions, unless they are held; the gate and attention may be destroyed.
  static void uninstall();

  // While one lives, handlers stay between two machines: a request to end finds the next one.
  class Hold {
   public:
    Hold();
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
  };

  // SIGTERM, SIGHUP, SIGINT or a person has asked us to end; the vCPU loop looks at each attention,
  // and whoever waits for the host looks here after each EINTR.
  [[nodiscard]] static bool termination_requested();
  // The same from any thread, for the person: forgotten with the machine.
  static void request_termination();

  // SIGUSR1 has asked for the statistics as they are; asking for it forgets it.
  [[nodiscard]] static bool take_report_request();

  // The signal that means "attention": sent by the timer to the vCPU thread.
  [[nodiscard]] static int attention_signal();
};

}  // namespace ringshift
