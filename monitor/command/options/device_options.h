// Device options: the spellings of what is on the board, and where it leads. See docs/usage.md.
#pragma once

namespace CLI {
class App;
}

namespace ringshift {

struct RunOptions;

void add_device_options(CLI::App& command, RunOptions* options);

}  // namespace ringshift
