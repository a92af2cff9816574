#include "monitor/boot/boot_firmware.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "devices/pci/firmware_memory.h"
#include "shadowmmu/base/host_files.h"

namespace ringshift {
namespace {

constexpr uint64_t kLargestImage = uint64_t{16} << 20;
constexpr uint32_t kUsable = 1;  // memory map: RAM

// Boot device codes of the AT-compatible BIOS in CMOS: three of them, four bits each.
constexpr unsigned kCmosBootFlag1 = 0x38, kCmosBootFlag2 = 0x3d;
constexpr unsigned kNoSignatureCheck = 1;  // of boot flag 1: any floppy is tried

void put_number(std::vector<uint8_t>& to, uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) to.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

std::vector<uint8_t> number(uint64_t value, unsigned bytes) {
  std::vector<uint8_t> result;
  put_number(result, value, bytes);
  return result;
}

unsigned device_code(char letter) {
  switch (letter) {
    case 'a':
      return 1;
    case 'c':
      return 2;
    case 'd':
      return 3;
    case 'n':
      return 4;
    default:
      return 0;
  }
}

void set_boot_order(const std::string& order, RtcCmos& cmos) {
  unsigned codes = 0;
  for (size_t i = 0; i < order.size() && i < 3; ++i) codes |= device_code(order[i]) << (4 * i);
  cmos.set_byte(kCmosBootFlag2, static_cast<uint8_t>(codes));
  cmos.set_byte(kCmosBootFlag1, static_cast<uint8_t>((codes >> 8 & 0xf) << 4 | kNoSignatureCheck));
}

bool read_file(const std::string& path, uint64_t max_bytes, std::vector<uint8_t>* bytes,
               std::string* error) {
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  const std::unique_ptr<std::FILE, Close> file(open_host_stream(path, FileUse::Read));
  if (file == nullptr) {
    *error = path + ": cannot be opened: " + std::strerror(errno);
    return false;
  }
  bytes->resize(max_bytes + 1);
  const size_t count = std::fread(bytes->data(), 1, bytes->size(), file.get());
  if (std::ferror(file.get()) != 0) {
    *error = path + ": cannot be read";
    return false;
  }
  if (count == 0 || count > max_bytes) {
    *error = path + (count == 0 ? ": is empty" : ": is too large for a firmware image");
    return false;
  }
  bytes->resize(count);
  return true;
}

}  // namespace

bool read_bios(const std::string& path, std::vector<uint8_t>* bytes, std::string* error) {
  if (!read_file(path, kLargestImage, bytes, error)) return false;
  if (FirmwareMemory::is_good_size(bytes->size())) return true;
  *error = path + ": is no BIOS image (its size must be a multiple of 64 KiB)";
  return false;
}

bool read_video_bios(const std::string& path, std::vector<uint8_t>* bytes, std::string* error) {
  constexpr uint64_t kLargestOptionRom = 0x10000;
  return read_file(path, kLargestOptionRom, bytes, error);
}

// Known by its shape: characters 0, space and 255 are blank, 219 is a block of ink (code page 437).
std::vector<uint8_t> read_text_font(const std::string& path) {
  constexpr size_t kLines = 16, kFontBytes = 256 * kLines;
  std::vector<uint8_t> rom;
  std::string ignored;
  if (!read_video_bios(path, &rom, &ignored)) return {};
  const auto is_all = [&](size_t at, uint8_t value) {
    const auto begin = rom.begin() + static_cast<ptrdiff_t>(at);
    return std::all_of(begin, begin + kLines, [value](uint8_t byte) { return byte == value; });
  };
  for (size_t at = 0; at + kFontBytes <= rom.size(); ++at) {
    if (is_all(at, 0) && is_all(at + ' ' * kLines, 0) && is_all(at + 219 * kLines, 0xff) &&
        is_all(at + 255 * kLines, 0)) {
      const auto begin = rom.begin() + static_cast<ptrdiff_t>(at);
      return {begin, begin + kFontBytes};
    }
  }
  return {};
}

bool add_firmware_files(const FirmwareRequest& request, FwCfg& fw_cfg, std::string* error) {
  constexpr uint64_t kLargestFile = uint64_t{64} << 20;
  for (const FirmwareFile& file : request.files) {
    std::vector<uint8_t> bytes(file.text.begin(), file.text.end());
    if (!file.path.empty() && !read_file(file.path, kLargestFile, &bytes, error)) return false;
    fw_cfg.add_file(file.name, std::move(bytes));
  }
  return true;
}

void describe_machine(const FirmwareRequest& request, uint64_t ram_bytes, FwCfg& fw_cfg,
                      RtcCmos& cmos) {
  fw_cfg.add(FwCfgItem::RamSize, number(ram_bytes, 8));
  fw_cfg.add(FwCfgItem::CpuCount, number(1, 2));
  fw_cfg.add(FwCfgItem::MaxCpus, number(1, 2));
  fw_cfg.add(FwCfgItem::BootMenu, number(request.boot_menu ? 1 : 0, 2));
  std::vector<uint8_t> map;
  put_number(map, 0, 8);
  put_number(map, ram_bytes, 8);
  put_number(map, kUsable, 4);
  fw_cfg.add_file(kMemoryMapFile, map);
  set_boot_order(request.boot_order, cmos);
}

}  // namespace ringshift
