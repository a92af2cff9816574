#include "monitor/command/options/firmware_options.h"

#include <algorithm>

#include "monitor/command/options/option_items.h"

namespace ringshift {
namespace {

// "name=opt/me/answer,string=42"; the name may be given without its key.
bool take_firmware_file(const std::string& text, FirmwareRequest* firmware, std::string* problem) {
  FirmwareFile file;
  bool has_content = false, good = true;
  for (const std::string& piece : split_at_commas(text)) {
    const auto [key, value] = split_item(piece);
    if (key == "file" || key == "string") {
      good = good && !has_content && !value.empty();
      has_content = true;
      (key == "file" ? file.path : file.text) = value;
    } else {
      good = good && file.name.empty() && (key == "name" || value.empty());
      file.name = key == "name" ? value : key;
    }
  }
  if (!good || !has_content || file.name.empty()) {
    *problem = "--fw-cfg: cannot use '" + text + "' (name=opt/NAME,file=FILE or string=TEXT)";
    return false;
  }
  const bool is_printable = std::all_of(file.name.begin(), file.name.end(),
                                        [](char letter) { return letter > 0x20 && letter < 0x7f; });
  if (file.name.size() > FwCfg::kLongestName || !is_printable) {
    *problem = "--fw-cfg: a name has at most 55 letters, and no blanks";
    return false;
  }
  const bool is_taken = std::any_of(firmware->files.begin(), firmware->files.end(),
                                    [&](const FirmwareFile& one) { return one.name == file.name; });
  if (is_taken || file.name == kMemoryMapFile) {
    *problem = "--fw-cfg: there is a " + file.name + " already";
    return false;
  }
  if (firmware->files.size() == kMostFirmwareFiles) {
    *problem = "--fw-cfg: there can be 32 of them";
    return false;
  }
  firmware->files.push_back(std::move(file));
  return true;
}

}  // namespace

bool apply_firmware_files(const std::vector<std::string>& texts, FirmwareRequest* firmware,
                          std::string* problem) {
  return std::all_of(texts.begin(), texts.end(), [&](const std::string& text) {
    return take_firmware_file(text, firmware, problem);
  });
}

bool apply_boot(const std::string& text, FirmwareRequest* firmware, std::string* problem) {
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const auto [key, value] = split_item(text.substr(begin, end - begin));
    const std::string& order = key == "order" || key == "once" ? value : key;
    bool good = false;
    if (key == "menu") {
      good = parse_on_off(value, &firmware->boot_menu);
    } else {
      good = !order.empty() && order.size() <= 3 &&
             order.find_first_not_of("acdn") == std::string::npos;
      firmware->boot_order = order;
    }
    if (!good) {
      *problem = "--boot: cannot use '" + text + "' (up to three of a, c, d, n; menu=on|off)";
      return false;
    }
    begin = end + 1;
  }
  return true;
}

}  // namespace ringshift
