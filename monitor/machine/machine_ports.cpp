// Machine, fourth part: the second serial port and the debug console, and where they lead.
#include "monitor/machine/machine.h"

namespace ringshift {
namespace {

bool make_file(const std::string& path, std::unique_ptr<FileSerial>* file, std::string* error) {
  if (path.empty()) return true;
  *file = FileSerial::create(path, error);
  return *file != nullptr;
}

}  // namespace

bool Machine::build_other_ports(std::string* error) {
  if (!make_file(config_.second_serial_path, &second_serial_, error) ||
      !make_file(config_.debug_console_path, &debug_file_, error)) {
    return false;
  }
  if (!make_file(config_.virtio_console_path, &virtio_file_, error)) return false;
  if (config_.virtio_console == VirtioConsoleTarget::Console) {
    virtio_terminal_ = make_console(kSerialConsole);
    use_console(virtio_terminal_.get());
  }
  if (config_.debug_console != DebugConsoleTarget::Console || console_ != nullptr) return true;
  debug_terminal_ = make_console(kSerialConsole);
  use_console(debug_terminal_.get());
  return true;
}

SerialBackend* Machine::debug_console() const {
  switch (config_.debug_console) {
    case DebugConsoleTarget::WithSerial:
      return serial_.get();
    case DebugConsoleTarget::Console:
      return console_;
    case DebugConsoleTarget::File:
      return debug_file_.get();
    case DebugConsoleTarget::None:
      return nullptr;
  }
  return nullptr;
}

SerialBackend* Machine::virtio_console() const {
  if (virtio_terminal_ != nullptr) return virtio_terminal_.get();
  return virtio_file_.get();
}

bool Machine::shows_text() const {
  constexpr unsigned kMiscellaneous = 6, kGraphicsMode = 1;
  return (board_->vga().graphics(kMiscellaneous) & kGraphicsMode) == 0 &&
         (pci_ == nullptr || !pci_->display().enabled());
}

}  // namespace ringshift
