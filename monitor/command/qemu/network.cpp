// The network in QEMU's spelling: -netdev, -nic, -net, the cards of -device, -object filter-dump.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>

#include "monitor/command/qemu/qemu_line.h"

namespace ringshift::qemu {
namespace {

struct CardRow {
  const char* name;
  const char* model;  // of --net; null: there is none
};
constexpr CardRow kCards[] = {
    {"virtio-net-pci", "virtio"},
    {"virtio-net", "virtio"},
    {"virtio-net-pci-transitional", "virtio"},
    {"virtio-net-pci-non-transitional", "virtio"},
    {"virtio", "virtio"},
    {"e1000", "e1000"},
    {"e1000-82540em", "e1000"},
    {"ne2k_pci", "ne2k_pci"},
};

const char* model_of(const std::string& name) {
  const auto* row = std::find_if(std::begin(kCards), std::end(kCards),
                                 [&](const CardRow& one) { return name == one.name; });
  return row != std::end(kCards) ? row->model : nullptr;
}

bool take_model(QemuLine* line, const std::string& option, const std::string& name,
                std::string* model) {
  const char* found = model_of(name);
  if (found == nullptr) {
    return line->refuse(option + ": there is no network card '" + name +
                        "' (virtio-net-pci, e1000, ne2k_pci)");
  }
  *model = found;
  return true;
}

struct BackendRow {
  const char* name;
  const char* why_not;  // null: it is ours
};
constexpr const char* kNoPrivilege = "it takes privileges that this program does without; use user";
constexpr BackendRow kBackends[] = {
    {"user", nullptr},
    {"stream", nullptr},
    {"socket", nullptr},
    {"tap", kNoPrivilege},
    {"bridge", kNoPrivilege},
    {"vde", "there is no VDE; use stream"},
    {"dgram", "frames go over streams only; use stream"},
    {"l2tpv3", "frames go over streams only; use stream"},
    {"hubport", "a card is connected to one network"},
    {"vhost-user", "guest memory is shared with nobody; use stream"},
    {"vhost-vdpa", kNoPrivilege},
    {"af-xdp", kNoPrivilege},
    {"netmap", kNoPrivilege},
    {"passt", "start passt --socket PATH, and use -netdev stream,addr.type=unix,addr.path=PATH"},
};

// Items of -netdev user that --net user has under the same name.
constexpr std::string_view kUserItems[] = {"hostfwd",   "guestfwd",         "restrict", "net",
                                           "host",      "dhcpstart",        "dns",      "hostname",
                                           "dnssearch", "domainname",       "tftp",     "bootfile",
                                           "ipv4",      "tftp-server-name", "ipv6"};

bool among(std::string_view key, std::string_view first, std::string_view second) {
  return key == first || key == second;
}

// A comma of a value is written twice.
std::string with_item(const std::string& key, const std::string& value) {
  std::string text = "," + key + "=";
  for (const char c : value) text += c == ',' ? std::string(",,") : std::string(1, c);
  return text;
}

class NetworkReader {
 public:
  NetworkReader(QemuLine* line, std::string option) : line_(line), option_(std::move(option)) {}

  // Takes the items of `items` that describe the network; an item that is neither its own nor the
  // card's is refused.
  bool take(const std::vector<Item>& items, bool has_card) {
    const std::string kind = items.empty() ? "" : items[0].value;
    const auto* row = std::find_if(std::begin(kBackends), std::end(kBackends),
                                   [&](const BackendRow& one) { return kind == one.name; });
    if (row == std::end(kBackends)) {
      return line_->refuse(option_ + ": there is no network '" + kind + "' (user, stream, socket)");
    }
    if (row->why_not != nullptr) return line_->refuse(option_ + " " + kind + ": " + row->why_not);
    for (size_t i = 1; i < items.size(); ++i) {
      if (!take_common(items[i], has_card) && !take_own(kind, items[i])) {
        return line_->problem.empty() &&
               line_->refuse(fmt::format("{} {}: cannot use '{}'", option_, kind, items[i].key));
      }
    }
    if (kind == "user") {
      text_ = "user" + text_;
      return true;
    }
    return finish_stream(kind);
  }

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] const Card& card() const { return card_; }

 private:
  bool take_common(const Item& item, bool has_card) {
    const auto& [key, value] = item;
    if (among(key, "id", "name")) {
      id_ = value;
    } else if (has_card && key == "model") {
      return take_model(line_, option_, value, &card_.model);
    } else if (has_card && among(key, "mac", "macaddr")) {
      card_.mac = value;
    } else {
      return key == "vlan";  // of a hub that all are connected to
    }
    return true;
  }

  bool take_own(const std::string& kind, const Item& item) {
    const auto& [key, value] = item;
    if (kind == "user") {
      const auto* end = std::end(kUserItems);
      if (std::find(std::begin(kUserItems), end, key) == end) return false;
      // "y" as well, in lines of old.
      const bool is_short = value == "y" || value == "n";
      text_ += with_item(key, !is_short ? value : value == "y" ? "on" : "off");
      return true;
    }
    if (kind == "socket") {
      if (!among(key, "listen", "connect")) return false;
      is_server_ = key == "listen";
      tcp_ = value;
      return true;
    }
    if (key == "server") {
      is_server_ = value == "on" || value == "yes" || value == "true";
    } else if (key == "addr.type") {
      return among(value, "inet", "unix");
    } else if (key == "addr.path") {
      unix_ = value;
    } else if (key == "addr.host") {
      host_ = value;
    } else if (key == "addr.port") {
      port_ = value;
    } else {
      return false;
    }
    return true;
  }

  bool finish_stream(const std::string& kind) {
    if (kind == "stream" && unix_.empty()) tcp_ = host_ + ":" + port_;
    if (unix_.empty() && tcp_.size() < 2) {
      return line_->refuse(option_ + " " + kind + ": needs " +
                           (kind == "socket" ? "listen=[HOST]:PORT or connect=HOST:PORT"
                                             : "addr.path=PATH, or addr.host= and addr.port="));
    }
    text_ = "stream" + (unix_.empty() ? with_item("tcp", tcp_) : with_item("unix", unix_)) +
            (is_server_ ? ",server=on" : "");
    return true;
  }

  QemuLine* line_;
  std::string option_;
  std::string text_, id_, unix_, tcp_, host_, port_;
  bool is_server_ = false;
  Card card_;
};

// A card without a name is the one of QEMU's board.
constexpr const char* kUsualModel = "e1000";

// Random numbers are the host kernel's, whichever of its files is named.
bool take_random_source(QemuLine* line, const std::vector<Item>& items) {
  const std::string file = value_of(items, "filename");
  if (!file.empty() && !among(file, "/dev/urandom", "/dev/random")) {
    return line->refuse(
        "-object rng-random: random numbers are the host kernel's "
        "(filename=/dev/urandom), not those of " +
        file);
  }
  line->random_sources.push_back(value_of(items, "id"));
  return true;
}

}  // namespace

bool read_netdev(QemuLine* line, const std::string& value) {
  NetworkReader reader(line, "-netdev");
  if (!reader.take(items_of(value, "type"), false)) return false;
  if (reader.id().empty()) return line->refuse("-netdev: needs id=");
  line->networks[reader.id()] = reader.text();
  return true;
}

bool read_nic(QemuLine* line, const std::string& value) {
  if (value == "none") return true;
  NetworkReader reader(line, "-nic");
  if (!reader.take(items_of(value, "type"), true)) return false;
  Card card = reader.card();
  card.network = "-nic " + std::to_string(line->cards.size());  // no id can be this
  line->networks[card.network] = reader.text();
  line->cards.push_back(card);
  return true;
}

// One hub, in QEMU's oldest way: every card and every network is connected to it.
bool read_net(QemuLine* line, const std::string& value) {
  if (value == "none") return true;
  const std::vector<Item> items = items_of(value, "type");
  constexpr const char* kHub = "-net";
  if (items.empty() || items[0].value != "nic") {
    NetworkReader reader(line, kHub);
    if (!reader.take(items, false)) return false;
    if (line->networks.count(kHub) != 0) return line->refuse("-net: one network can be had");
    line->networks[kHub] = reader.text();
    return true;
  }
  Card card{"", kHub, ""};
  for (size_t i = 1; i < items.size(); ++i) {
    const auto& [key, what] = items[i];
    if (key == "model") {
      if (!take_model(line, "-net nic", what, &card.model)) return false;
    } else if (among(key, "macaddr", "mac")) {
      card.mac = what;
    } else if (key == "netdev") {
      card.network = what;
    } else if (!among(key, "name", "id") && !among(key, "vlan", "addr") && key != "vectors") {
      return line->refuse("-net nic: cannot use '" + key + "' (model, macaddr, netdev)");
    }
  }
  line->cards.push_back(card);
  return true;
}

bool put_network_card(QemuLine* line, const std::vector<Item>& items) {
  Card card;
  for (const auto& [key, value] : items) {
    if (key == "driver" && !take_model(line, "-device", value, &card.model)) return false;
    if (key == "netdev") card.network = value;
    if (key == "mac") card.mac = value;
  }
  line->cards.push_back(card);
  return true;
}

bool read_object(QemuLine* line, const std::string& value) {
  const std::vector<Item> items = items_of(value, "type");
  const std::string type = items.empty() ? "" : items[0].value;
  if (among(type, "rng-random", "rng-builtin")) return take_random_source(line, items);
  if (type == "iothread") return line->ignore("-object iothread", "host I/O has its own threads");
  if (type != "filter-dump") {
    return line->refuse(
        "QEMU's -object " + type +
        " is not supported: of objects there are rng-random, rng-builtin, iothread and "
        "filter-dump");
  }
  std::string file;
  for (size_t i = 1; i < items.size(); ++i) {
    const auto& [key, what] = items[i];
    if (key == "file") {
      file = what;
    } else if (!among(key, "id", "netdev") && key != "maxlen") {
      return line->refuse("-object filter-dump: cannot use '" + key + "' (id, netdev, file)");
    }
  }
  if (file.empty()) return line->refuse("-object filter-dump: needs file=");
  line->add("--net-dump", file);
  return true;
}

bool QemuLine::finish_network() {
  if (cards.size() > 1) return refuse("there can be one network card");
  if (cards.empty()) {
    for (const auto& [id, text] : networks) {
      (void)ignore(id == "-net" ? "-net " + text : "-netdev " + id, "no network card uses it");
    }
    return true;
  }
  const Card& card = cards[0];
  const auto found = networks.find(card.network);
  if (found == networks.end()) {
    return refuse(card.network == "-net"
                      ? "-net nic: needs a network, as -net user"
                      : "a network card needs netdev=ID of a -netdev with that id");
  }
  std::string text = found->second;
  const std::string model = card.model.empty() ? kUsualModel : card.model;
  text += ",model=" + model;
  if (!card.mac.empty()) text += ",mac=" + card.mac;
  add("--net", text);
  return true;
}

}  // namespace ringshift::qemu
