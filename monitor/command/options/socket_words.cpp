#include "monitor/command/options/socket_words.h"

namespace ringshift {
namespace {

using TakeOther = std::function<bool(const KeyValue& item)>;

// One item behind the address. False: it is none.
bool take_item(const std::string& item, const TakeOther& take_other, SocketWords* words) {
  const auto [key, value] = split_item(item);
  if (take_other({key, value})) return true;
  bool on = true;
  if (!value.empty() && !parse_on_off(value, &on)) return false;
  if (key == "server") {
    words->where.connects = !on;
  } else if (key == "wait") {
    words->waits = on;
  } else if (key == "nowait") {
    words->waits = !on;
  } else {
    return key == "nodelay" || (key == "ipv4" && on);
  }
  return true;
}

}  // namespace

bool parse_socket_words(const std::string& text, const TakeOther& take_other, SocketWords* words) {
  const std::vector<std::string> items = split_at_commas(text);
  bool good = parse_socket_address(items[0], &words->where);
  for (size_t i = 1; good && i < items.size(); ++i) good = take_item(items[i], take_other, words);
  return good;
}

}  // namespace ringshift
