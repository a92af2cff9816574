#include "monitor/command/reports/last_page.h"

#include <unistd.h>

#include <cstdio>
#include <string>

namespace ringshift {

bool leaves_last_page(const RunOptions& options, const MachineOutcome& outcome) {
  return options.displays.empty() && !options.dump_screen && options.screendump.empty() &&
         outcome.reason != StopReason::Saved && outcome.reason != StopReason::Migrated &&
         isatty(STDERR_FILENO) != 0;
}

void leave_last_page(Machine& machine) {
  std::string page = machine.board().vga().dump_text();
  page.resize(page.find_last_not_of(" \n") + 1);
  page.erase(0, page.find_first_not_of('\n'));
  if (page.empty() || !machine.shows_text()) return;
  std::fprintf(stderr,
               "ringshift: the guest's screen as it was at the end (--display text shows it "
               "meanwhile, --display none never):\n%s\n",
               page.c_str());
}

}  // namespace ringshift
