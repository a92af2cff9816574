#include "monitor/lab/census/census_image.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "monitor/boot/boot_elf.h"
#include "monitor/boot/boot_image.h"
#include "monitor/boot/boot_linux.h"
#include "monitor/boot/boot_multiboot.h"
#include "monitor/lab/census/linux_payload.h"
#include "shadowmmu/guest_memory.h"

namespace ringshift::lab {
namespace {

constexpr uint64_t kLargestFile = uint64_t{256} << 20;

// ELF32 (gABI chapters 4 and 5): offsets of the fields read here.
constexpr uint64_t kEntry = 24, kProgramHeaders = 28, kSectionHeaders = 32, kProgramHeaderSize = 42,
                   kProgramHeaderCount = 44, kSectionHeaderSize = 46, kSectionHeaderCount = 48,
                   kSectionOfNames = 50;
constexpr uint32_t kSectionHasBits = 1, kSectionIsLoaded = 2, kSectionIsCode = 4, kSegmentLoads = 1,
                   kSegmentIsCode = 1;

std::string read_file(const std::string& path, std::unique_ptr<BootImage>* image,
                      std::unique_ptr<GuestMemory>* memory) {
  std::string error;
  *image = BootImage::open(path, kLargestFile, &error);
  if (*image == nullptr) return error;
  // The loader's own reader, into memory of the file's size.
  *memory = GuestMemory::create(round_up_to_page((*image)->size()), &error);
  if (*memory == nullptr) return error;
  return (*image)->load(0, (*image)->size(), **memory, GuestPhysical(0));
}

uint64_t section_header(const ByteView& view, uint64_t number) {
  return view.u32(kSectionHeaders) + number * view.u16(kSectionHeaderSize);
}

// Empty if it has none that can be printed.
std::string section_name(const ByteView& view, std::span<const uint8_t> file, uint64_t header) {
  constexpr size_t kLongest = 40;
  const uint64_t names = section_header(view, view.u16(kSectionOfNames));
  std::string name;
  for (uint64_t at = uint64_t{view.u32(names + 16)} + view.u32(header); at < file.size(); ++at) {
    const uint8_t byte = file[at];
    if (byte < 0x21 || byte > 0x7e || name.size() == kLongest) break;
    name += static_cast<char>(byte);
  }
  return name;
}

}  // namespace

std::unique_ptr<CensusImage> CensusImage::open(const std::string& path, std::string* error) {
  std::unique_ptr<CensusImage> made(new CensusImage);
  *error = made->read(path);
  return error->empty() ? std::move(made) : nullptr;
}

bool CensusImage::add_range(std::span<const uint8_t> file, uint64_t offset, uint64_t length,
                            uint32_t address, std::vector<ImageRange>* out, std::string name) {
  if (!range_fits(offset, length, file.size()) || length > (uint64_t{1} << 32) - address) {
    return false;
  }
  if (length == 0) return true;
  copied_ += length;  // bytes in several ranges are copied for each
  if (copied_ > 2 * file.size()) return false;
  const auto first = file.begin() + static_cast<std::ptrdiff_t>(offset);
  if (name.empty()) name = fmt::format("at {:08x}", address);
  out->push_back({address, {first, first + static_cast<std::ptrdiff_t>(length)}, std::move(name)});
  return true;
}

// Sections where there are any (those that a linker calls code), segments otherwise.
std::string CensusImage::read_elf(std::span<const uint8_t> file) {
  const ByteView view(file);
  if (auto problem = wrong_elf_machine(view); !problem.empty()) return problem;
  entry_ = view.u32(kEntry);
  for (uint64_t i = 0; i < view.u16(kSectionHeaderCount); ++i) {
    const uint64_t at = section_header(view, i);
    const uint32_t flags = view.u32(at + 8);
    if (view.u32(at + 4) != kSectionHasBits || (flags & kSectionIsLoaded) == 0) continue;
    if (!add_range(file, view.u32(at + 16), view.u32(at + 20), view.u32(at + 12),
                   (flags & kSectionIsCode) != 0 ? &code_ : &data_, section_name(view, file, at))) {
      return "has a section outside the file, or too many of one place";
    }
  }
  return read_segments(file);
}

std::string CensusImage::read_segments(std::span<const uint8_t> file) {
  const ByteView view(file);
  const bool has_sections = !code_.empty();
  if (!has_sections) data_.clear();
  for (uint64_t i = 0; i < view.u16(kProgramHeaderCount); ++i) {
    const uint64_t at = view.u32(kProgramHeaders) + i * view.u16(kProgramHeaderSize);
    if (view.u32(at) != kSegmentLoads) continue;
    const uint32_t linear = view.u32(at + 8), physical = view.u32(at + 12);
    if (physical != linear) aliases_.push_back({physical, linear, view.u32(at + 20)});
    if (has_sections) continue;
    if (!add_range(file, view.u32(at + 4), view.u32(at + 16), linear,
                   (view.u32(at + 24) & kSegmentIsCode) != 0 ? &code_ : &data_)) {
      return "has a segment outside the file, or too many of one place";
    }
  }
  return code_.empty() ? "has no executable section or segment" : "";
}

// The kernel itself; the code around it only unpacks it.
std::string CensusImage::read_linux(std::span<const uint8_t> file) {
  LinuxPayload payload;
  if (auto problem = unpack_linux(file, &payload); !problem.empty()) return problem;
  kind_ += ", unpacked (" + payload.method + ")";
  if (!is_elf(ByteView(payload.bytes))) return "carries a payload that is no ELF file";
  if (auto problem = read_elf(payload.bytes); !problem.empty()) {
    return "carries a kernel that " + problem;
  }
  return {};
}

std::string CensusImage::read(const std::string& path) {
  std::unique_ptr<BootImage> image;
  std::unique_ptr<GuestMemory> memory;
  if (auto problem = read_file(path, &image, &memory); !problem.empty()) return problem;
  const std::span<const uint8_t> file(memory->at(GuestPhysical(0)), image->size());
  const auto header = find_multiboot_header(*image);
  can_boot_ = header.has_value();
  std::string problem;
  if (is_elf(image->head())) {
    kind_ = header ? "Multiboot ELF" : "ELF";
    problem = read_elf(file);
  } else if (is_linux_image(*image)) {
    kind_ = "Linux bzImage";
    can_boot_ = true;
    problem = read_linux(file);
  } else if (header) {
    constexpr uint64_t kHeaderAddress = 12, kLoadAddress = 16, kEntryAddress = 28;
    kind_ = "Multiboot, flat";
    const ByteView view(file);
    entry_ = view.u32(*header + kEntryAddress);
    const uint64_t before = view.u32(*header + kHeaderAddress) - view.u32(*header + kLoadAddress);
    const uint64_t start = before <= *header ? *header - before : 0;
    remark_ = "code and data are not told apart in such an image: the linear census reads both";
    (void)add_range(file, start, file.size() - start, view.u32(*header + kLoadAddress), &code_);
  } else {
    problem = "is neither ELF nor a Linux bzImage nor Multiboot";
  }
  return problem.empty() ? "" : path + ": " + problem;
}

uint32_t CensusImage::linked(uint32_t address) const {
  if (!code_at(address).empty()) return address;
  for (const Alias& alias : aliases_) {
    if (address - alias.physical < alias.bytes) return address - alias.physical + alias.linear;
  }
  return address;
}

std::span<const uint8_t> CensusImage::code_at(uint32_t linked_address) const {
  for (const ImageRange& range : code_) {
    const uint32_t offset = linked_address - range.address;
    if (offset < range.bytes.size()) return std::span(range.bytes).subspan(offset);
  }
  return {};
}

}  // namespace ringshift::lab
