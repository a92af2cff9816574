// DiskCopy: a disk image as it is when a recording begins, beside the tape. If the file system can
// share the bytes of two files it does; else the image's bytes are copied, and holes stay holes.
// See docs/exact-execution.md, "Disks".
#pragma once

#include <string>

namespace ringshift {

// Pre: both are open, `to` is empty. False with errno: the host refuses.
[[nodiscard]] bool copy_image(int from, int to);

}  // namespace ringshift
