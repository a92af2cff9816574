// Firmware options: --boot and --fw-cfg: facts for the BIOS, and files for guests at its
// configuration port. See docs/usage.md.
#pragma once

#include <string>
#include <vector>

#include "monitor/boot/boot_firmware.h"

namespace ringshift {

// "dc", "order=dc,menu=on". False with one line in *problem.
[[nodiscard]] bool apply_boot(const std::string& text, FirmwareRequest* firmware,
                              std::string* problem);
// "name=opt/me/answer,string=42" each; the name may be given without its key. False with one line.
[[nodiscard]] bool apply_firmware_files(const std::vector<std::string>& texts,
                                        FirmwareRequest* firmware, std::string* problem);

}  // namespace ringshift
