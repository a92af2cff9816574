// Monitors and character devices in QEMU's spelling: -qmp, -monitor, -mon, -chardev.
#include <algorithm>
#include <iterator>
#include <string_view>

#include "monitor/command/qemu/qemu_line.h"

namespace ringshift::qemu {
namespace {

bool is_socket(const std::string& text) {
  return text.rfind("unix:", 0) == 0 || text.rfind("tcp:", 0) == 0 || text.rfind("telnet:", 0) == 0;
}

}  // namespace

std::string with_defaults(const std::string& text) {
  std::vector<Item> items = items_of(text, "where");
  const std::string where = items[0].value;
  bool serves = false, waits = true;
  for (const Item& item : items) {
    if (item.key == "server") serves = item.value != "off";
    if (item.key == "wait") waits = item.value != "off";
    if (item.key == "nowait") waits = false;
  }
  std::string spelled = where + ",server=" + (serves ? "on" : "off");
  spelled += serves && waits ? ",wait=on" : "";
  for (const Item& item : items) {
    constexpr std::string_view kSeen[] = {"where", "server", "wait", "nowait", "nodelay", "ipv4"};
    if (among(kSeen, item.key)) continue;
    spelled += "," + item.key + "=" + item.value;
  }
  return spelled;
}

namespace {

// A monitor needs none of Telnet's negotiation.
std::string without_telnet(const std::string& text) {
  return text.rfind("telnet:", 0) == 0 ? "tcp:" + text.substr(7) : text;
}

bool add_qmp(QemuLine* line, const char* word, const char* option, const std::string& value) {
  if (value == "none" || value == "null") return true;
  if (!is_socket(value)) {
    return line->refuse(std::string(word) + " " + value +
                        ": QMP is spoken at a socket here; use unix:PATH or tcp:HOST:PORT");
  }
  line->add(option, with_defaults(without_telnet(value)));
  return true;
}

// -chardev socket: the items that say where, in the form of -qmp.
bool read_socket_device(QemuLine* line, const std::vector<Item>& items) {
  constexpr std::string_view kKnown[] = {
      "backend", "id",   "path", "host",   "port",      "server",       "wait",     "nowait",
      "nodelay", "ipv4", "mux",  "telnet", "reconnect", "reconnect-ms", "websocket"};
  constexpr std::string_view kPassed[] = {"server", "wait", "nowait", "reconnect", "reconnect-ms"};
  const std::string path = value_of(items, "path");
  std::string where = path.empty()
                          ? "tcp:" + value_of(items, "host") + ":" + value_of(items, "port")
                          : "unix:" + path;
  for (const Item& item : items) {
    if (!among(kKnown, item.key)) {
      return line->refuse(
          "-chardev socket: cannot use '" + item.key +
          "' (id, path, host, port, server, wait, telnet, reconnect, reconnect-ms)");
    }
    if (item.key == "websocket" && item.value != "off") {
      return line->refuse(
          "-chardev socket: a port does not speak the WebSocket protocol here; "
          "--display web has a page with the serial port");
    }
    if (among(kPassed, item.key)) where += "," + item.key + "=" + item.value;
  }
  if (value_of(items, "telnet") == "on") where = "telnet:" + where.substr(where.find(':') + 1);
  line->character_devices[value_of(items, "id")] = {Target::Kind::Socket, with_defaults(where)};
  return true;
}

// -chardev in the form of -serial.
std::string spelled_backend(const std::vector<Item>& items) {
  std::string backend = value_of(items, "backend");
  if (backend == "file" || backend == "pipe") return backend + ":" + value_of(items, "path");
  if (backend != "udp") return backend;
  const std::string own_host = value_of(items, "localaddr"),
                    own_port = value_of(items, "localport");
  std::string text = "udp:" + value_of(items, "host") + ":" + value_of(items, "port");
  if (!own_host.empty() || !own_port.empty()) {
    text += "@" + own_host + ":" + (own_port.empty() ? "0" : own_port);
  }
  return text;
}

}  // namespace

// For people; its other items are about the host's processes.
bool read_name(QemuLine* line, const std::string& value) {
  const std::string name = value_of(items_of(value, "guest"), "guest");
  if (!name.empty()) line->add("--name", name);
  return true;
}

bool read_qmp(QemuLine* line, const std::string& value) {
  return add_qmp(line, "-qmp", "--qmp", value);
}

bool read_qmp_pretty(QemuLine* line, const std::string& value) {
  return add_qmp(line, "-qmp-pretty", "--qmp-pretty", value);
}

bool read_monitor(QemuLine* line, const std::string& value) {
  if (value == "none" || value == "null" || value == "/dev/null" || value.rfind("vc", 0) == 0) {
    return true;
  }
  if (value == "stdio" || value == "mon:stdio") {
    return line->ignore("-monitor stdio", "Ctrl-A c asks at the serial console");
  }
  if (is_socket(value)) {
    line->add("--monitor", with_defaults(without_telnet(value)));
    return true;
  }
  return line->refuse("-monitor " + value +
                      ": the monitor is behind Ctrl-A c at the serial console, or at a socket "
                      "(unix:PATH, tcp:HOST:PORT)");
}

bool read_monitor_device(QemuLine* line, const std::string& value) {
  const std::vector<Item> items = items_of(value, "chardev");
  const std::string id = value_of(items, "chardev");
  const bool speaks_qmp = value_of(items, "mode") == "control";
  Target target;
  if (!read_target(line, "-mon", "chardev:" + id, &target)) return false;
  if (target.kind == Target::Kind::Socket) {
    const bool pretty = value_of(items, "pretty") == "on";
    if (speaks_qmp) {
      line->add(pretty ? "--qmp-pretty" : "--qmp", without_telnet(target.path));
      return true;
    }
    line->add("--monitor", without_telnet(target.path));
    return true;
  }
  if (speaks_qmp) return line->refuse("-mon mode=control: QMP is spoken at a socket here");
  return line->ignore("-mon", "Ctrl-A c asks at the serial console");
}

bool read_character_device(QemuLine* line, const std::string& value) {
  constexpr std::string_view kKnown[] = {"backend", "id", "path", "mux", "signal"};
  constexpr std::string_view kOfDatagrams[] = {"host", "port", "localaddr", "localport", "ipv4"};
  const std::vector<Item> items = items_of(value, "backend");
  const std::string id = value_of(items, "id");
  if (id.empty()) return line->refuse("-chardev: needs id=");
  if (value_of(items, "backend") == "socket") return read_socket_device(line, items);
  Target target;
  const std::string backend = value_of(items, "backend");
  if (!read_target(line, "-chardev", spelled_backend(items), &target)) return false;
  for (const Item& item : items) {
    if (among(kKnown, item.key) || (backend == "udp" && among(kOfDatagrams, item.key))) continue;
    return line->refuse("-chardev: cannot use '" + item.key + "' (id, path, mux, signal)");
  }
  line->character_devices[id] = target;
  return true;
}

}  // namespace ringshift::qemu
