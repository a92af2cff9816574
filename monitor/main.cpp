// The command line: the only file that sees argv.
#include "monitor/command_line.h"
#include "monitor/host/exit_codes.h"
#include "monitor/host/standard_streams.h"
#include "monitor/program_version.h"

int main(int argc, char** argv) {
  if (!ringshift::hold_standard_streams()) return ringshift::kExitUsage;
  return ringshift::run_command_line(argc, argv, ringshift::program_version());
}
