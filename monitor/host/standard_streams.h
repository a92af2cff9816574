// Standard streams: descriptors 0, 1 and 2 are the launcher's, or /dev/null, before anything else
// is opened: a file of ours never gets a number that means something else. See docs/security.md.
#pragma once

namespace ringshift {

// False: the host refuses even that, and there is nowhere to say so.
[[nodiscard]] bool hold_standard_streams();

}  // namespace ringshift
