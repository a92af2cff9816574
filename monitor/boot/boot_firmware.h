// Firmware boot: the BIOS image, and the facts about the machine that the firmware is told. Reads
// files, fills the configuration port. Images are hostile input: any failure is one line that names
// the file. See docs/devices.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "devices/chips/fw_cfg.h"
#include "devices/timers/rtc_cmos.h"

namespace ringshift {

// The place where Debian's seabios package puts its images.
inline constexpr char kDefaultBios[] = "/usr/share/seabios/bios-256k.bin";
inline constexpr char kDefaultVideoBios[] = "/usr/share/seabios/vgabios-stdvga.bin";

// One of the user's own files at the firmware configuration port ("QEMU Firmware Configuration
// (fw_cfg) Device" specification; names of users begin with "opt/").
struct FirmwareFile {
  std::string name;  // at most FwCfg::kLongestName letters
  std::string path;  // of a file of the host's; empty: reads give `text`
  std::string text;
};
inline constexpr size_t kMostFirmwareFiles = 32;
// The machine's own.
inline constexpr char kMemoryMapFile[] = "etc/e820";

struct FirmwareRequest {
  std::string bios_path;  // empty: no firmware, a kernel is entered directly
  std::string video_bios_path = kDefaultVideoBios;
  std::string boot_order = "cad";  // a: floppy, c: hard disk, d: CD-ROM, n: network
  bool boot_menu = false;
  std::vector<FirmwareFile> files;  // names that are not ours, each once
};

// Both read a whole file; false with one line in *error.
[[nodiscard]] bool read_bios(const std::string& path, std::vector<uint8_t>* bytes,
                             std::string* error);
[[nodiscard]] bool read_video_bios(const std::string& path, std::vector<uint8_t>* bytes,
                                   std::string* error);
// The font of 256 characters of 16 lines in a video BIOS; empty: there is none, or no such file.
[[nodiscard]] std::vector<uint8_t> read_text_font(const std::string& path);
// The files that the user adds, of at most 64 MiB each.
[[nodiscard]] bool add_firmware_files(const FirmwareRequest& request, FwCfg& fw_cfg,
                                      std::string* error);
// Memory map, processors, boot order.
void describe_machine(const FirmwareRequest& request, uint64_t ram_bytes, FwCfg& fw_cfg,
                      RtcCmos& cmos);

}  // namespace ringshift
