#include "monitor/boot/boot_linux.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "monitor/boot/boot_layout.h"

namespace ringshift {

namespace {

// Where things go; conventional places, all in conventional memory.
constexpr uint64_t kZeroPage = 0x90000;
constexpr uint64_t kCommandLine = 0x20000;
constexpr uint64_t kCommandLineRoom = 0x10000;

// Offsets of the setup header, in the image and in the zero page alike.
constexpr uint64_t kHeaderStart = 0x1f1;
constexpr uint64_t kHeaderRoomEnd = 0x290;  // the zero page has other fields from here
constexpr uint64_t kSetupSects = 0x1f1;
constexpr uint64_t kSyssize = 0x1f4;
constexpr uint64_t kBootFlag = 0x1fe;
constexpr uint64_t kHeaderLength = 0x201;
constexpr uint64_t kHeaderMagic = 0x202;
constexpr uint64_t kVersion = 0x206;
constexpr uint64_t kTypeOfLoader = 0x210;
constexpr uint64_t kLoadFlags = 0x211;
constexpr uint64_t kCode32Start = 0x214;
constexpr uint64_t kRamdiskImage = 0x218;
constexpr uint64_t kRamdiskSize = 0x21c;
constexpr uint64_t kCommandLinePointer = 0x228;
constexpr uint64_t kInitrdAddressMax = 0x22c;
constexpr uint64_t kXloadFlags = 0x236;
constexpr uint64_t kCommandLineSize = 0x238;
constexpr uint64_t kPreferredAddress = 0x258;
constexpr uint64_t kInitSize = 0x260;

constexpr uint32_t kMagicHdrS = 0x53726448;
constexpr uint8_t kLoadedHigh = 1;
constexpr uint16_t kHas64BitEntry = 1;
constexpr uint8_t kUndefinedLoader = 0xff;

// Other fields of the zero page (Linux documentation, zero-page).
constexpr uint64_t kExtendedMemoryKb = 0x02;
constexpr uint64_t kAlternativeMemoryKb = 0x1e0;
constexpr uint64_t kE820Entries = 0x1e8;
constexpr uint64_t kE820Table = 0x2d0;

// The parts of the setup header that decide where the kernel goes, with older versions' defaults.
struct SetupHeader {
  uint64_t setup_bytes;
  uint64_t payload_bytes;  // as the header says it; the file may have more (a signature)
  uint16_t version;
  uint8_t load_flags;
  uint16_t xload_flags;
  uint32_t code32_start;
  uint64_t initrd_limit;  // the first address that the kernel cannot reach
  uint64_t command_line_size;
  uint64_t preferred_address;
  uint64_t init_size;
  uint64_t header_end;
};

SetupHeader read_setup_header(ByteView head) {
  SetupHeader header{};
  // Zero means four: the field was once not there.
  const uint64_t sectors = head.u8(kSetupSects) == 0 ? 4 : head.u8(kSetupSects);
  header.setup_bytes = (sectors + 1) * 512;
  header.payload_bytes = uint64_t{head.u32(kSyssize)} * 16;
  header.version = head.u16(kVersion);
  header.load_flags = head.u8(kLoadFlags);
  header.code32_start = head.u32(kCode32Start);
  header.initrd_limit = uint64_t{head.u32(kInitrdAddressMax)} + 1;
  header.command_line_size = header.version >= 0x206 ? head.u32(kCommandLineSize) : 255;
  header.xload_flags = header.version >= 0x20c ? head.u16(kXloadFlags) : uint16_t{0};
  if (header.version >= 0x20a) {
    header.preferred_address = head.u64(kPreferredAddress);
    header.init_size = head.u32(kInitSize);
  }
  header.header_end = std::min(kHeaderMagic + head.u8(kHeaderLength), kHeaderRoomEnd);
  return header;
}

// Empty when the image is one this machine can start.
std::string header_problem(const SetupHeader& header, const BootImage& kernel) {
  if (header.version < 0x204) {
    return fmt::format("uses boot protocol {}.{:02}, 2.04 is the oldest supported",
                       header.version >> 8, header.version & 0xff);
  }
  if ((header.load_flags & kLoadedHigh) == 0) return "is a zImage, which loads low; use a bzImage";
  if ((header.xload_flags & kHas64BitEntry) != 0) {
    return "is a 64-bit Linux kernel, this machine is 32-bit";
  }
  if (!kernel.head().has(kHeaderStart, header.header_end - kHeaderStart) ||
      header.setup_bytes >= kernel.size()) {
    return "is truncated (ends in the setup code)";
  }
  // The header counts in units of 16 bytes, the file need not be padded to one.
  if (kernel.size() - header.setup_bytes + 15 < header.payload_bytes) {
    return fmt::format("is truncated ({} bytes of {})", kernel.size(),
                       header.setup_bytes + header.payload_bytes);
  }
  return {};
}

// Where the kernel's own memory ends until it has read the map. Empty problem on success.
std::string place_kernel(const SetupHeader& header, const BootImage& kernel, uint64_t ram_bytes,
                         uint64_t* kernel_end) {
  const uint64_t loaded_bytes = kernel.size() - header.setup_bytes;
  if (!range_fits(kHighMemory, loaded_bytes, ram_bytes)) {
    return fmt::format("does not fit into {} MiB of memory", ram_bytes >> 20);
  }
  if (header.code32_start < kHighMemory || header.code32_start - kHighMemory >= loaded_bytes) {
    return fmt::format("has its entry point ({:#x}) outside the image", header.code32_start);
  }
  *kernel_end = kHighMemory + loaded_bytes;
  if (header.init_size == 0) return {};
  // The decompressor moves itself up to the preferred address and unpacks there.
  const uint64_t runs_at = std::max(kHighMemory, header.preferred_address);
  if (!range_fits(runs_at, header.init_size, ram_bytes)) {
    return fmt::format("needs {} MiB at {:#x} to unpack itself, the machine has {} MiB",
                       (header.init_size + 0xfffff) >> 20, runs_at, ram_bytes >> 20);
  }
  *kernel_end = std::max(*kernel_end, runs_at + header.init_size);
  return {};
}

struct Initrd {
  uint64_t address = 0;
  uint64_t size = 0;
};

// As high as the kernel can reach, out of the way of all it allocates early. Empty on success.
std::string load_initrd(const std::string& path, const SetupHeader& header, uint64_t kernel_end,
                        GuestMemory& memory, Initrd* placed) {
  std::string error;
  const auto image = BootImage::open(path, memory.size(), &error);
  if (image == nullptr) return error;
  const uint64_t top = std::min({memory.size(), header.initrd_limit, uint64_t{1} << 32});
  const uint64_t lowest = round_up_to_page(kernel_end);
  if (image->size() > top || ((top - image->size()) & ~uint64_t{0xfff}) < lowest) {
    return fmt::format("{}: does not fit above the kernel ({} MiB of memory, kernel up to {:#x})",
                       path, memory.size() >> 20, kernel_end);
  }
  placed->address = (top - image->size()) & ~uint64_t{0xfff};
  placed->size = image->size();
  return image->load(0, image->size(), memory, GuestPhysical(placed->address));
}

// screen_info: a VGA adapter in 80x25 text, cursor at the top left.
void write_screen_info(GuestMemory& memory) {
  uint8_t* zero_page = memory.at(GuestPhysical(kZeroPage));
  zero_page[0x06] = 3;                    // BIOS video mode
  zero_page[0x07] = 80;                   // columns
  zero_page[0x0e] = 25;                   // lines
  zero_page[0x0f] = 1;                    // is VGA
  store16(memory, kZeroPage + 0x10, 16);  // scan lines of a character
}

void write_memory_map(GuestMemory& memory) {
  const uint64_t extended_kb = (memory.size() - kHighMemory) / 1024;
  store16(memory, kZeroPage + kExtendedMemoryKb,
          static_cast<uint16_t>(std::min<uint64_t>(extended_kb, 0xffff)));
  store32(memory, kZeroPage + kAlternativeMemoryKb, static_cast<uint32_t>(extended_kb));
  const auto map = machine_memory_map(memory.size());
  memory.at(GuestPhysical(kZeroPage + kE820Entries))[0] = static_cast<uint8_t>(map.size());
  uint64_t entry = kZeroPage + kE820Table;
  for (const MemoryRange& range : map) {
    store64(memory, entry, range.base);
    store64(memory, entry + 8, range.length);
    store32(memory, entry + 16, range.type);
    entry += 20;
  }
}

void write_zero_page(const SetupHeader& header, ByteView head, const Initrd& initrd,
                     GuestMemory& memory) {
  uint8_t* zero_page = memory.at(GuestPhysical(kZeroPage));
  std::memset(zero_page, 0, kPageSize);
  std::memcpy(zero_page + kHeaderStart, head.bytes().data() + kHeaderStart,
              static_cast<size_t>(header.header_end - kHeaderStart));
  zero_page[kTypeOfLoader] = kUndefinedLoader;
  store32(memory, kZeroPage + kCommandLinePointer, static_cast<uint32_t>(kCommandLine));
  store32(memory, kZeroPage + kRamdiskImage, static_cast<uint32_t>(initrd.address));
  store32(memory, kZeroPage + kRamdiskSize, static_cast<uint32_t>(initrd.size));
  write_screen_info(memory);
  write_memory_map(memory);
}

}  // namespace

bool is_linux_image(const BootImage& image) {
  const ByteView head = image.head();
  return head.u16(kBootFlag) == 0xaa55 && head.u32(kHeaderMagic) == kMagicHdrS;
}

BootResult boot_linux(const BootImage& kernel, const BootRequest& request, GuestMemory& memory,
                      GuestState& state) {
  const auto refuse = [&kernel](const std::string& problem) {
    return BootResult::failure(kernel.path() + ": " + problem);
  };
  if (!request.modules.empty()) return refuse("is a Linux kernel, which has no modules at boot");
  const SetupHeader header = read_setup_header(kernel.head());
  if (const auto problem = header_problem(header, kernel); !problem.empty()) return refuse(problem);

  const uint64_t longest = std::min(header.command_line_size, kCommandLineRoom - 1);
  if (request.command_line.size() > longest) {
    return refuse(fmt::format("takes a command line of {} bytes, this one has {}", longest,
                              request.command_line.size()));
  }
  uint64_t kernel_end = 0;
  if (const auto problem = place_kernel(header, kernel, memory.size(), &kernel_end);
      !problem.empty()) {
    return refuse(problem);
  }
  if (auto problem = kernel.load(header.setup_bytes, kernel.size() - header.setup_bytes, memory,
                                 GuestPhysical(kHighMemory));
      !problem.empty()) {
    return BootResult::failure(std::move(problem));
  }
  Initrd initrd;
  if (!request.initrd_path.empty()) {
    auto problem = load_initrd(request.initrd_path, header, kernel_end, memory, &initrd);
    if (!problem.empty()) return BootResult::failure(std::move(problem));
  }
  write_bios_data_area(memory);
  write_zero_page(header, kernel.head(), initrd, memory);
  std::memcpy(memory.at(GuestPhysical(kCommandLine)), request.command_line.c_str(),
              request.command_line.size() + 1);
  enter_flat_protected_mode(memory, state, header.code32_start);
  state.reg(Gpr::Esi) = static_cast<uint32_t>(kZeroPage);
  return BootResult::success();
}

}  // namespace ringshift
