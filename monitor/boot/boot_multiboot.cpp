#include "monitor/boot/boot_multiboot.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string_view>
#include <utility>

#include "monitor/boot/boot_elf.h"
#include "monitor/boot/boot_layout.h"
#include "monitor/boot/boot_video.h"

namespace ringshift {

namespace {

constexpr uint32_t kHeaderMagic = 0x1badb002;
constexpr uint32_t kLoaderMagic = 0x2badb002;  // in EAX at the entry
constexpr uint64_t kSearchBytes = 8192;
constexpr uint64_t kHeaderBytes = 12;
constexpr uint64_t kAddressFieldsEnd = 32;

// Header flags. Bits 0-15 are demands: a loader that does not know one must refuse.
constexpr uint32_t kKnownDemands = 0x7;  // aligned modules, memory information, video information
constexpr uint32_t kDemands = 0xffff;
constexpr uint32_t kHasAddressFields = 1U << 16;

// Flags of the information structure.
constexpr uint32_t kInfoMemory = 1U << 0;
constexpr uint32_t kInfoCommandLine = 1U << 2;
constexpr uint32_t kInfoModules = 1U << 3;
constexpr uint32_t kInfoMemoryMap = 1U << 6;
constexpr uint32_t kInfoLoaderName = 1U << 9;
constexpr uint64_t kInfoBytes = 120;

// The loader puts its information for the kernel here; the kernel's own segments may not lie here.
constexpr uint64_t kLowStart = 0x80000;
constexpr uint64_t kLowEnd = 0x8f000;
constexpr uint64_t kBiosDataEnd = 0x500;

constexpr std::string_view kLoaderName = "ringshift";

// The address fields of the header (the "a.out kludge") as a load plan. Empty on success.
std::string read_address_fields(const BootImage& image, uint64_t at, LoadPlan* plan) {
  const ByteView head = image.head();
  const uint64_t header_address = head.u32(at + 12);
  const uint64_t load_address = head.u32(at + 16);
  const uint64_t load_end = head.u32(at + 20);
  const uint64_t bss_end = head.u32(at + 24);
  plan->entry = head.u32(at + 28);
  if (!head.has(at, kAddressFieldsEnd)) return "is truncated (ends in the Multiboot header)";
  if (load_address > header_address || header_address - load_address > at) {
    return fmt::format("has a Multiboot header with load address {:#x} but header address {:#x}",
                       load_address, header_address);
  }
  LoadSegment segment;
  segment.file_offset = at - (header_address - load_address);
  segment.address = load_address;
  // Zero means: all of the file.
  segment.file_bytes = image.size() - segment.file_offset;
  if (load_end != 0) {
    if (load_end < load_address) return "has a Multiboot header whose load end is before its start";
    if (load_end - load_address > segment.file_bytes) {
      return fmt::format("is truncated (its Multiboot header loads {} bytes, there are {})",
                         load_end - load_address, segment.file_bytes);
    }
    segment.file_bytes = load_end - load_address;
  }
  segment.memory_bytes = segment.file_bytes;
  if (bss_end > load_address) {
    segment.memory_bytes = std::max(segment.memory_bytes, bss_end - load_address);
  }
  if (plan->entry < load_address || plan->entry - load_address >= segment.memory_bytes) {
    return fmt::format("has its entry point ({:#x}) outside the image", plan->entry);
  }
  plan->segments.push_back(segment);
  return {};
}

// Where no segment may lie: the processor's and the BIOS's own areas, our information for the
// kernel with the descriptors it begins with, addresses that are no RAM, and the tables that
// describe the board. All else is free, below 1 MiB too: linkers put a file's headers in front of
// its first section.
constexpr struct {
  uint64_t begin, end;
} kTaken[] = {{0, kBiosDataEnd},
              {kLowStart, kLowEnd + 0x1000},
              {kConventionalEnd, 0xc0000},
              {kBoardTables, kBoardTablesEnd}};

bool may_load_at(const LoadSegment& segment, uint64_t ram_bytes) {
  if (!range_fits(segment.address, segment.memory_bytes, ram_bytes)) return false;
  const uint64_t end = segment.address + segment.memory_bytes;
  return std::none_of(std::begin(kTaken), std::end(kTaken), [&](const auto& taken) {
    return segment.address < taken.end && taken.begin < end;
  });
}

std::string load_segments(const BootImage& kernel, const LoadPlan& plan, GuestMemory& memory,
                          uint64_t* kernel_end) {
  *kernel_end = kHighMemory;
  uint64_t total = 0;
  for (const LoadSegment& segment : plan.segments) {
    // Segments that lie over each other again and again would be filled again and again.
    total += segment.memory_bytes;
    if (!may_load_at(segment, memory.size()) || total > memory.size()) {
      return fmt::format("{}: does not fit: {} bytes at {:#x} are not free in {} MiB of memory",
                         kernel.path(), segment.memory_bytes, segment.address, memory.size() >> 20);
    }
    auto problem = kernel.load(segment.file_offset, segment.file_bytes, memory,
                               GuestPhysical(segment.address));
    if (!problem.empty()) return problem;
    const uint64_t bss_bytes = segment.memory_bytes - segment.file_bytes;
    if (bss_bytes != 0) {
      std::memset(memory.at(GuestPhysical(segment.address + segment.file_bytes)), 0,
                  static_cast<size_t>(bss_bytes));
    }
    *kernel_end = std::max(*kernel_end, segment.address + segment.memory_bytes);
  }
  return {};
}

// Hands out the room in conventional memory, in order; says so when there is no more.
class LowRoom {
 public:
  explicit LowRoom(GuestMemory& memory) : memory_(memory) {}
  [[nodiscard]] bool exhausted() const { return exhausted_; }
  uint64_t allocate(uint64_t bytes) {
    const uint64_t address = next_;
    if (!range_fits(address, bytes, kLowEnd)) {
      exhausted_ = true;
      return kLowStart;
    }
    next_ = (address + bytes + 7) & ~uint64_t{7};
    return address;
  }
  uint64_t store_string(std::string_view text) {
    const uint64_t address = allocate(text.size() + 1);
    if (exhausted_) return address;
    uint8_t* bytes = memory_.at(GuestPhysical(address));
    std::memcpy(bytes, text.data(), text.size());
    bytes[text.size()] = 0;
    return address;
  }

 private:
  GuestMemory& memory_;
  uint64_t next_ = kLowStart;
  bool exhausted_ = false;
};

// Where the parts of the information are.
struct InformationRoom {
  uint64_t info = 0;
  uint64_t screen = 0;
  uint64_t loader_name = 0;
  uint64_t command_line = 0;
  uint64_t modules = 0;
};

// As GRUB and others give it: the image's name first, then the user's words.
std::string command_line_of(const BootRequest& request) {
  return request.command_line.empty() ? request.kernel_path
                                      : request.kernel_path + " " + request.command_line;
}

// Modules start on page boundaries whether the header demands it or not. Empty on success.
std::string load_modules(const BootRequest& request, uint64_t kernel_end, GuestMemory& memory,
                         LowRoom& room, uint64_t* table) {
  *table = room.allocate(request.modules.size() * 16);
  uint64_t next = round_up_to_page(kernel_end);
  uint64_t entry = *table;
  for (const BootModule& module : request.modules) {
    std::string error;
    const auto image =
        BootImage::open(module.path, memory.size(), &error, BootImage::EmptyFile::Allowed);
    if (image == nullptr) return error;
    if (auto problem = image->load(0, image->size(), memory, GuestPhysical(next));
        !problem.empty()) {
      return problem;
    }
    const uint64_t text = room.store_string(module.command_line);
    if (room.exhausted()) return "the modules and their command lines are too many or too long";
    store32(memory, entry, static_cast<uint32_t>(next));
    store32(memory, entry + 4, static_cast<uint32_t>(next + image->size()));
    store32(memory, entry + 8, static_cast<uint32_t>(text));
    store32(memory, entry + 12, 0);
    entry += 16;
    next = round_up_to_page(next + image->size());
  }
  return {};
}

void write_memory_map(GuestMemory& memory, uint64_t info, LowRoom& room) {
  constexpr uint32_t kEntryBytes = 20;  // as stored: without the size field itself
  const auto map = machine_memory_map(memory.size());
  const uint64_t table = room.allocate(map.size() * (kEntryBytes + 4));
  uint64_t entry = table;
  for (const MemoryRange& range : map) {
    store32(memory, entry, kEntryBytes);
    store64(memory, entry + 4, range.base);
    store64(memory, entry + 12, range.length);
    store32(memory, entry + 20, range.type);
    entry += kEntryBytes + 4;
  }
  store32(memory, info + 44, static_cast<uint32_t>(entry - table));
  store32(memory, info + 48, static_cast<uint32_t>(table));
}

// The screen that the header asks for, or text, and the information's flags that tell which.
struct Screen {
  uint32_t flags = 0;
  std::string notice;
};

Screen write_screen(const BootImage& kernel, uint64_t header_offset, const BootRequest& request,
                    GuestMemory& memory, const InformationRoom& room) {
  const auto wanted = graphics_wanted(kernel.head(), header_offset);
  if (!wanted) return {write_text_screen(memory, room.info), {}};
  if (request.show) {
    if (const auto screen = request.show(*wanted)) {
      return {write_linear_screen(memory, room.info, room.screen, *screen), {}};
    }
  }
  return {write_text_screen(memory, room.info), kernel.path() + ": " + no_such_screen(*wanted)};
}

void write_information(GuestMemory& memory, const InformationRoom& room, size_t module_count,
                       uint32_t screen_flags) {
  const uint64_t info = room.info;
  store32(memory, info,
          kInfoMemory | kInfoCommandLine | kInfoModules | kInfoMemoryMap | kInfoLoaderName |
              screen_flags);
  store32(memory, info + 4, static_cast<uint32_t>(kConventionalEnd / 1024));
  store32(memory, info + 8, static_cast<uint32_t>((memory.size() - kHighMemory) / 1024));
  store32(memory, info + 16, static_cast<uint32_t>(room.command_line));
  store32(memory, info + 20, static_cast<uint32_t>(module_count));
  store32(memory, info + 24, static_cast<uint32_t>(room.modules));
  store32(memory, info + 64, static_cast<uint32_t>(room.loader_name));
}

std::string make_plan(const BootImage& kernel, uint64_t header_offset, LoadPlan* plan) {
  const uint32_t flags = kernel.head().u32(header_offset + 4);
  if ((flags & kDemands & ~kKnownDemands) != 0) {
    return fmt::format("demands something unknown in its Multiboot header (flags {:#x})", flags);
  }
  if ((flags & kHasAddressFields) != 0) return read_address_fields(kernel, header_offset, plan);
  if (is_elf(kernel.head())) return read_elf_plan(kernel, plan);
  return "has a Multiboot header without addresses and is not an ELF file";
}

}  // namespace

std::optional<uint64_t> find_multiboot_header(const BootImage& image) {
  const ByteView head = image.head();
  for (uint64_t at = 0; at + kHeaderBytes <= kSearchBytes && head.has(at, kHeaderBytes); at += 4) {
    // Magic, flags and checksum add up to zero in 32 bits.
    if (head.u32(at) == kHeaderMagic &&
        static_cast<uint32_t>(head.u32(at) + head.u32(at + 4) + head.u32(at + 8)) == 0) {
      return at;
    }
  }
  return std::nullopt;
}

BootResult boot_multiboot(const BootImage& kernel, uint64_t header_offset,
                          const BootRequest& request, GuestMemory& memory, GuestState& state) {
  if (!request.initrd_path.empty()) {
    return BootResult::failure(kernel.path() +
                               ": is a Multiboot kernel, which takes modules and no initrd");
  }
  LoadPlan plan;
  if (auto problem = make_plan(kernel, header_offset, &plan); !problem.empty()) {
    return BootResult::failure(kernel.path() + ": " + problem);
  }
  uint64_t kernel_end = 0;
  if (auto problem = load_segments(kernel, plan, memory, &kernel_end); !problem.empty()) {
    return BootResult::failure(std::move(problem));
  }
  std::memset(memory.at(GuestPhysical(kLowStart)), 0, kLowEnd - kLowStart);
  LowRoom room(memory);
  InformationRoom at;
  at.info = room.allocate(kInfoBytes);
  at.screen = room.allocate(kScreenTables);
  write_memory_map(memory, at.info, room);
  at.loader_name = room.store_string(kLoaderName);
  at.command_line = room.store_string(command_line_of(request));
  if (room.exhausted()) return BootResult::failure(kernel.path() + ": command line is too long");
  if (auto problem = load_modules(request, kernel_end, memory, room, &at.modules);
      !problem.empty()) {
    return BootResult::failure(std::move(problem));
  }
  Screen screen = write_screen(kernel, header_offset, request, memory, at);
  write_information(memory, at, request.modules.size(), screen.flags);
  write_bios_data_area(memory);
  enter_flat_protected_mode(memory, state, static_cast<uint32_t>(plan.entry));
  state.reg(Gpr::Eax) = kLoaderMagic;
  state.reg(Gpr::Ebx) = static_cast<uint32_t>(at.info);
  BootResult result;
  result.notice = std::move(screen.notice);
  return result;
}

}  // namespace ringshift
