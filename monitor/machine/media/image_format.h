// ImageFormat: the format of a disk image, by its first bytes or as the user has named it, and the
// program that reads it. See docs/usage.md, "Disks".
#pragma once

#include <string>

namespace ringshift {

inline constexpr char kRawFormat[] = "raw";

// As qemu-nbd calls it, or kRawFormat. Known by its first bytes: a file that cannot be read counts
// as raw, and opening it will fail later. False with one line in *error: the image rests on another
// file, or its format may. A guest that writes its own disk could have put such a name there, so it
// is followed only if the user has named the format.
[[nodiscard]] bool find_image_format(const std::string& path, std::string* format,
                                     std::string* error);

// Is there a format of this name?
[[nodiscard]] bool is_image_format(const std::string& name);

}  // namespace ringshift
