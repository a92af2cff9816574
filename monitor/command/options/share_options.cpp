#include "monitor/command/options/share_options.h"

#include <algorithm>

#include "devices/virtio/virtio_9p.h"
#include "monitor/command/options/option_items.h"

namespace ringshift {
namespace {

// It is typed in the guest's shell, and is a word of its kernel's messages.
bool is_tag(const std::string& text) {
  return !text.empty() && text.size() <= Virtio9p::kLongestTag &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return c > ' ' && c < 0x7f && c != '/' && c != ','; });
}

bool take_item(const std::string& item, ShareRequest* request) {
  const auto [key, value] = split_item(item);
  if (key == "tag") {
    request->tag = value;
    return is_tag(value);
  }
  if (item == "readonly") return request->read_only = true;
  return key == "readonly" && parse_on_off(value, &request->read_only);
}

}  // namespace

bool parse_shares(const std::vector<std::string>& texts, ShareRequest* request,
                  std::string* problem) {
  if (texts.empty()) return true;
  if (texts.size() > 1) {
    *problem = "--share: one folder can be shared";
    return false;
  }
  const std::vector<std::string> pieces = split_at_commas(texts[0]);
  request->folder = pieces[0];
  if (request->folder.empty()) {
    *problem = "--share: needs a folder";
    return false;
  }
  for (size_t i = 1; i < pieces.size(); ++i) {
    if (take_item(pieces[i], request)) continue;
    *problem =
        "--share: cannot use '" + pieces[i] + "' (tag=NAME of at most 31 characters, readonly)";
    return false;
  }
  return true;
}

}  // namespace ringshift
