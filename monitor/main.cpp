// The command line: the only file that sees argv.
#include "monitor/command_line.h"

int main(int argc, char** argv) { return ringshift::run_command_line(argc, argv); }
