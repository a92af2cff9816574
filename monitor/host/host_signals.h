// Host signals: classify by RIP, record, redirect to the gate's leave path, return (V2). Owns: the
// handlers, a table of the threads that run guests with the alternate stack of each, the request to
// end and the timers that keep saying so. Handlers decide nothing. See docs/faults-and-exits.md.
#pragma once

#include <string>

#include "monitor/host/attention.h"
#include "translator/gate.h"

namespace ringshift {

class HostSignals {
 public:
  // For the calling thread, which runs a machine from now on: faults in its translated code and
  // attention find this gate and this attention. gate may be null (interpreter only). False with
  // one line in *error.
  [[nodiscard]] static bool install(Gate* gate, Attention* attention, std::string* error);
  // The calling thread's gate and attention may be destroyed. With the last of such threads the
  // default actions come back, unless the handlers are held.
  static void uninstall();

  // While one lives, handlers stay between two machines: a request to end finds the next one.
  class Hold {
   public:
    Hold();
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
  };

  // SIGTERM, SIGHUP, SIGINT or a person has asked us to end. The vCPU loop looks at each attention,
  // and code that waits for the host looks here after each EINTR.
  [[nodiscard]] static bool termination_requested();
  // The same from any thread, for the person: forgotten with the machine.
  static void request_termination();

  // SIGUSR1 has asked for the statistics as they are; asking for it forgets it.
  [[nodiscard]] static bool take_report_request();
  // From now on SIGUSR2 asks for the machine to be saved, also one that is only being made; before,
  // it ends the process.
  static void expect_save_requests();
  [[nodiscard]] static bool take_save_request();

  // For a process beside the monitor: it ends with the monitor, by way of its socket; no signal of
  // a terminal's ends it. Before any handler is installed in it.
  static void ignore_in_helper();

  // The signal that means "attention": sent by the timer to the vCPU thread.
  [[nodiscard]] static int attention_signal();
};

}  // namespace ringshift
