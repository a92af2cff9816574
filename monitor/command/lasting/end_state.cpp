#include "monitor/command/lasting/end_state.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "devices/screen/screen_image.h"
#include "monitor/command/reports/last_page.h"
#include "monitor/machine/state_digest.h"
#include "shadowmmu/base/open_file.h"

namespace ringshift {
namespace {

bool write_digest(const std::string& path, Machine& machine) {
  const std::string text = digest_of(machine).text() + "\n";
  const OpenFile file(path, FileUse::Replace);
  if (file.is_open() && dprintf(file.descriptor(), "%s", text.c_str()) > 0) return true;
  std::fprintf(stderr, "ringshift: --digest: cannot write %s: %s\n", path.c_str(),
               std::strerror(errno));
  return false;
}

}  // namespace

bool leave_end_state(const RunOptions& options, const MachineOutcome& outcome, Machine& machine) {
  std::string error;
  bool is_written = options.digest.empty() || write_digest(options.digest, machine);
  if (options.dump_screen) {
    std::fprintf(stderr, "%s", machine.board().vga().dump_text().c_str());
  } else if (leaves_last_page(options, outcome)) {
    leave_last_page(machine);
  }
  if (!options.screendump.empty() && !write_png(machine.screen(), options.screendump, &error)) {
    std::fprintf(stderr, "ringshift: %s\n", error.c_str());
    is_written = false;
  }
  return is_written;
}

}  // namespace ringshift
