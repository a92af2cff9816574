// Device options: the spellings of the board's devices, and of the places that they lead to. See
// docs/usage.md.
#pragma once

namespace CLI {
class App;
}

namespace ringshift {

struct RunOptions;

void add_device_options(CLI::App& command, RunOptions* options);

}  // namespace ringshift
