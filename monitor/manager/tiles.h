// Tiles: the page of a manager, with the screens of its machines as tiles, for a browser on this
// host: a process of its own, which asks the manager as any other command does. See
// docs/machines.md, "The page".
#pragma once

#include <string>

#include "monitor/manager/run_folder.h"

namespace ringshift::manager {

// where: empty, PORT or HOST:PORT, an IPv4 address. Until SIGINT, SIGTERM or the manager's end. The
// exit code.
[[nodiscard]] int serve_tiles(const RunFolder& folder, const std::string& where);

// The page's text. nonce: by which its own scripts and styles are known.
[[nodiscard]] std::string tiles_page(const std::string& nonce);

}  // namespace ringshift::manager
