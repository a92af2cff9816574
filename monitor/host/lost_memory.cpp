#include "monitor/host/lost_memory.h"

#include <unistd.h>

#include <atomic>
#include <cstring>

#include "devices/host/host_console.h"
#include "monitor/host/exit_codes.h"
#include "shadowmmu/base/host_files.h"

namespace ringshift {
namespace {

std::atomic<int> g_ram_file{-1};
std::atomic<uint64_t> g_ram_file_bytes{0};

// async-signal-safe
void say(const char* text) { (void)!write(STDERR_FILENO, text, std::strlen(text)); }

}  // namespace

void note_ram_file(int descriptor, uint64_t bytes) {
  g_ram_file_bytes.store(bytes);
  g_ram_file.store(descriptor);
}

const char* lost_memory_text() {
  struct stat status {};
  const int file = g_ram_file.load();
  const bool is_cut =
      file >= 0 && (!describe_descriptor(file, &status) ||
                    static_cast<uint64_t>(status.st_size) < g_ram_file_bytes.load());
  return is_cut ? "the file of the saved machine has been cut short"
                : "the host cannot supply memory that the guest was given";
}

void end_process(const char* why, int exit_code) {
  restore_terminal();
  say("ringshift: ");
  say(why);
  say("\n");
  _exit(exit_code);
}

void end_in_two(const char* why) { end_process(why, kExitInTwo); }

void end_without_memory() { end_process(lost_memory_text(), kExitHost); }

}  // namespace ringshift
