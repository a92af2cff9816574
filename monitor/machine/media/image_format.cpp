#include "monitor/machine/media/image_format.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <string_view>

#include "shadowmmu/base/host_files.h"

namespace ringshift {
namespace {

constexpr const char* kFormats[] = {kRawFormat, "qcow2", "qcow",      "vmdk", "vdi",   "vpc",
                                    "vhdx",     "qed",   "parallels", "dmg",  "bochs", "cloop"};

// Enough for the beginning of each format.
constexpr size_t kHeadBytes = 512;

struct Signature {
  size_t at;
  std::string_view bytes;
  const char* format;
  bool is_alone;  // an image of this format never rests on another file
};
using namespace std::string_view_literals;
// qcow2: QEMU, docs/interop/qcow2.txt. VDI: its header's signature, 0xbeda107f. The others may name
// a parent or a file of data.
constexpr Signature kSignatures[] = {
    {0, "QFI\xfb\0\0\0\1"sv, "qcow", false},
    {0, "QFI\xfb"sv, "qcow2", true},
    {0x40, "\x7f\x10\xda\xbe"sv, "vdi", true},
    {0, "KDMV"sv, "vmdk", false},
    {0, "# Disk DescriptorFile"sv, "vmdk", false},
    {0, "vhdxfile"sv, "vhdx", false},
    {0, "conectix"sv, "vpc", false},
    {0, "QED\0"sv, "qed", false},
};

// A field of qcow2, whose numbers are big-endian.
uint64_t number_at(std::string_view head, size_t at, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value = value << 8 | static_cast<uint8_t>(head[at + i]);
  return value;
}

// docs/interop/qcow2.txt: the offset of a backing file's name, and from version 3 on the bit that
// says that the data are in another file.
bool qcow2_rests_on_another(std::string_view head) {
  constexpr size_t kVersion = 4, kBackingName = 8, kIncompatible = 72;
  constexpr uint64_t kExternalData = 4;
  return number_at(head, kBackingName, 8) != 0 ||
         (number_at(head, kVersion, 4) >= 3 &&
          (number_at(head, kIncompatible, 8) & kExternalData) != 0);
}

// Zeros behind the end of the file.
std::array<char, kHeadBytes> read_head(const std::string& path) {
  std::array<char, kHeadBytes> head{};
  const int descriptor = open_host_file(path, FileUse::Read);
  if (descriptor < 0) return head;
  (void)!read(descriptor, head.data(), head.size());
  close(descriptor);
  return head;
}

}  // namespace

bool is_image_format(const std::string& name) {
  return std::find(std::begin(kFormats), std::end(kFormats), name) != std::end(kFormats);
}

bool find_image_format(const std::string& path, std::string* format, std::string* error) {
  const std::array<char, kHeadBytes> bytes = read_head(path);
  const std::string_view head(bytes.data(), bytes.size());
  *format = kRawFormat;
  for (const Signature& signature : kSignatures) {
    if (head.substr(signature.at, signature.bytes.size()) != signature.bytes) continue;
    *format = signature.format;
    const bool is_qcow2 = *format == "qcow2";
    if (signature.is_alone && !(is_qcow2 && qcow2_rests_on_another(head))) return true;
    *error = path + ": is a " + *format + " image that " + (is_qcow2 ? "rests" : "may rest") +
             " on another file; format=" + *format + " follows it";
    return false;
  }
  return true;
}

}  // namespace ringshift
