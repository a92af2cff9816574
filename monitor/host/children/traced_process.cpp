#include "monitor/host/children/traced_process.h"

#include <sys/ptrace.h>

namespace ringshift {

void interrupt_traced_process(pid_t process) {
  (void)ptrace(PTRACE_INTERRUPT, process, nullptr, nullptr);
}

}  // namespace ringshift
