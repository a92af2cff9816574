#include "monitor/machine/added_devices.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint32_t kPorts = 0x10000;
constexpr const char* kTestDevice = "pc-testdev";
constexpr const char* kDebugExit = "isa-debug-exit";
constexpr const char* kVirtioRng = "virtio-rng-pci";
constexpr const char* kVirtioBalloon = "virtio-balloon-pci";
constexpr const char* kPanic = "pvpanic";
constexpr const char* kPciPanic = "pvpanic-pci";
constexpr const char* kWatchdog = "i6300esb";

bool parse_on_off(std::string_view text, bool* value) {
  *value = text == "on";
  return text == "on" || text == "off";
}

bool take_balloon_item(std::string_view key, std::string_view value,
                       VirtioBalloonRequest* request) {
  if (key == "deflate-on-oom") return parse_on_off(value, &request->deflates_on_oom);
  return key == "free-page-reporting" && parse_on_off(value, &request->reports_free);
}

// "0xf4" or "244".
bool parse_port_number(std::string_view text, uint32_t* value) {
  const bool is_hexadecimal = text.substr(0, 2) == "0x" || text.substr(0, 2) == "0X";
  const char* begin = text.data() + (is_hexadecimal ? 2 : 0);
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(begin, end, *value, is_hexadecimal ? 16 : 10);
  return error == std::errc() && stopped == end && begin != end;
}

bool take_exit_item(std::string_view key, std::string_view value, DebugExitRequest* request) {
  if (key == "iobase") return parse_port_number(value, &request->first_port);
  return key == "iosize" && parse_port_number(value, &request->ports);
}

bool is_sound(const DebugExitRequest& request) {
  return request.ports >= 1 && request.ports <= kPorts && request.first_port < kPorts &&
         request.first_port + request.ports <= kPorts;
}

// One row a device: its name, and how it takes an item. An item that it does not know, or a value
// that is none, is false.
struct DeviceKind {
  const char* name;
  AddedDevice start;
  const char* items;
  bool (*take)(std::string_view key, std::string_view value, AddedDevice* device);
};

const DeviceKind kKinds[] = {
    {kTestDevice, TestDeviceRequest(), "it has no items",
     [](std::string_view, std::string_view, AddedDevice*) { return false; }},
    {kDebugExit, DebugExitRequest(), "iobase=PORT, iosize=PORTS",
     [](std::string_view key, std::string_view value, AddedDevice* device) {
       return take_exit_item(key, value, &std::get<DebugExitRequest>(*device));
     }},
    {kVirtioRng, VirtioRngRequest(), "it has no items",
     [](std::string_view, std::string_view, AddedDevice*) { return false; }},
    {kVirtioBalloon, VirtioBalloonRequest(), "deflate-on-oom=on|off, free-page-reporting=on|off",
     [](std::string_view key, std::string_view value, AddedDevice* device) {
       return take_balloon_item(key, value, &std::get<VirtioBalloonRequest>(*device));
     }},
    {kPanic, PanicRequest(), "ioport=PORT",
     [](std::string_view key, std::string_view value, AddedDevice* device) {
       auto& port = std::get<PanicRequest>(*device).port;
       return key == "ioport" && parse_port_number(value, &port) && port < kPorts;
     }},
    {kPciPanic, PciPanicRequest(), "it has no items",
     [](std::string_view, std::string_view, AddedDevice*) { return false; }},
    {kWatchdog, WatchdogRequest(), "it has no items",
     [](std::string_view, std::string_view, AddedDevice*) { return false; }},
};

bool take_items(std::string_view items, const DeviceKind& kind, AddedDevice* device,
                std::string* problem) {
  while (true) {
    const size_t comma = std::min(items.find(','), items.size());
    const std::string_view item = items.substr(0, comma);
    const size_t equals = item.find('=');
    const bool has_value = equals != std::string_view::npos;
    if (!has_value || !kind.take(item.substr(0, equals), item.substr(equals + 1), device)) {
      *problem = "--device: " + std::string(kind.name) + " cannot use '" + std::string(item) +
                 "' (" + kind.items + ")";
      return false;
    }
    if (comma == items.size()) return true;
    items = items.substr(comma + 1);
  }
}

}  // namespace

bool parse_device(const std::string& text, std::vector<AddedDevice>* devices,
                  std::string* problem) {
  const size_t comma = text.find(',');
  const std::string name = text.substr(0, comma);
  for (const DeviceKind& kind : kKinds) {
    if (name != kind.name) continue;
    AddedDevice device = kind.start;
    if (comma != std::string::npos &&
        !take_items(std::string_view(text).substr(comma + 1), kind, &device, problem)) {
      return false;
    }
    const auto* exit_port = std::get_if<DebugExitRequest>(&device);
    if (exit_port != nullptr && !is_sound(*exit_port)) {
      *problem = "--device: " + text + ": there are no such ports";
      return false;
    }
    devices->push_back(device);
    return true;
  }
  *problem = "--device: there is no device '" + name + "'; there are ";
  for (const DeviceKind& kind : kKinds) {
    *problem += std::string(&kind == kKinds ? "" : ", ") + kind.name;
  }
  return false;
}

bool want_pci(const std::vector<AddedDevice>& devices) {
  return wants<VirtioRngRequest>(devices) || wants<VirtioBalloonRequest>(devices) ||
         wants<PciPanicRequest>(devices) || wants<WatchdogRequest>(devices);
}

const VirtioBalloonRequest* wanted_balloon(const std::vector<AddedDevice>& devices) {
  for (const AddedDevice& device : devices) {
    if (const auto* found = std::get_if<VirtioBalloonRequest>(&device)) return found;
  }
  return nullptr;
}

std::unique_ptr<AddedDevices> AddedDevices::create(const std::vector<AddedDevice>& wanted,
                                                   AddedDeviceSurroundings on, std::string* error) {
  std::unique_ptr<AddedDevices> devices(new AddedDevices(std::move(on)));
  for (const AddedDevice& one : wanted) {
    if (std::visit([&](const auto& request) { return devices->add(request); }, one)) continue;
    *error = "--device: two of the devices want the same place";
    return nullptr;
  }
  return devices;
}

bool AddedDevices::add(const TestDeviceRequest&) {
  if (test_device_ != nullptr) return false;
  test_device_ = std::make_unique<TestDevice>(
      [this](unsigned line, bool asserted) { set_line(line, asserted); }, on_.on_flush);
  return test_device_->attach(on_.ports, on_.memory);
}

bool AddedDevices::add(const DebugExitRequest& request) {
  exit_ports_.push_back(std::make_unique<ExitPort>(on_.on_exit));
  return on_.ports.claim(static_cast<uint16_t>(request.first_port), request.ports,
                         *exit_ports_.back(), "added debug exit", DecodeRank::Added);
}

bool AddedDevices::add(const PanicRequest& request) {
  if (panic_ != nullptr || request.port >= kPorts) return false;
  panic_ = std::make_unique<PanicRegister>(on_.on_panic);
  return on_.ports.claim(static_cast<uint16_t>(request.port), 1, *panic_, "pvpanic",
                         DecodeRank::Added);
}

// The first sixteen are wires of the board, which both kinds of controller see; the others are the
// I/O APIC's alone.
void AddedDevices::set_line(unsigned line, bool asserted) {
  constexpr unsigned kBoardLines = 16;
  if (line < kBoardLines) {
    on_.interrupts.line(line).set_level(asserted);
  } else if (on_.io_apic != nullptr) {
    on_.io_apic->set_input(line, asserted);
  }
}

void AddedDevices::visit_state(StateArchive& archive) {
  archive.same("test devices", test_device_ != nullptr ? 1 : 0);
  if (test_device_ != nullptr) archive.part("test device", *test_device_);
}

}  // namespace ringshift
