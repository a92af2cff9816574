#include "monitor/host/attention.h"

#include <signal.h>

#include "monitor/host/children/traced_process.h"
#include "monitor/host/host_signals.h"

namespace ringshift {

// async-signal-safe. Only the thread that traces a process may stop it: another one sends that
// thread the attention signal, whose handler raises again, there.
void Attention::interrupt_process(pid_t process, bool already_raised) {
  if (pthread_equal(pthread_self(), tracer_.load()) != 0) {
    interrupt_traced_process(process);
  } else if (!already_raised) {
    pthread_kill(tracer_.load(), HostSignals::attention_signal());
  }
}

}  // namespace ringshift
