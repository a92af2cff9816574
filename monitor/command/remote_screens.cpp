#include "monitor/command/remote_screens.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

#include "shadowmmu/base/host_files.h"

namespace ringshift {
namespace {

// The first line of the file.
bool read_password(const std::string& path, std::string* password, std::string* error) {
  const std::string option = "--display vnc: password-file: ";
  std::FILE* file = open_host_stream(path, FileUse::Read);
  if (file == nullptr) {
    *error = option + "cannot read " + path + ": " + std::strerror(errno);
    return false;
  }
  std::array<char, rfb::kMostPassword + 3> line{};  // and a newline, one too many, the end
  const bool has_line = std::fgets(line.data(), static_cast<int>(line.size()), file) != nullptr;
  std::fclose(file);
  *password = has_line ? line.data() : "";
  while (!password->empty() && (password->back() == '\n' || password->back() == '\r')) {
    password->pop_back();
  }
  if (!password->empty() && password->size() <= rfb::kMostPassword) return true;
  *error = option + path + ": a password has 1 to 8 characters (RFC 6143)";
  return false;
}

bool is_loopback(const std::string& host) { return host.rfind("127.", 0) == 0 || host == "::1"; }

}  // namespace

std::unique_ptr<RemoteScreens> RemoteScreens::create(const DisplayRequest& request, bool can_save,
                                                     std::string* error) {
  auto screens = std::unique_ptr<RemoteScreens>(new RemoteScreens());
  if (request.has_vnc && !screens->open_vnc(request, error)) return nullptr;
  WebServerConfig web = request.web;
  web.can_save = can_save;
  if (request.has_web && !screens->open_web(web, error)) return nullptr;
  return screens;
}

bool RemoteScreens::open_vnc(const DisplayRequest& request, std::string* error) {
  RfbServerConfig vnc = request.vnc;
  if (!request.password_file.empty() &&
      !read_password(request.password_file, &vnc.password, error)) {
    return false;
  }
  ports_.push_back(std::make_unique<ScreenPort>(static_cast<uint8_t>(ports_.size())));
  vnc_ = RfbServer::create(vnc, *ports_.back(), error);
  if (vnc_ == nullptr) return false;
  const bool is_open = vnc.unix_path.empty() && vnc.password.empty() && !is_loopback(vnc.host);
  std::fprintf(stderr, "ringshift: vnc: the screen is at %s%s\n", vnc_->where().c_str(),
               is_open ? ", for everybody who reaches it (password-file=FILE asks for one)" : "");
  return true;
}

bool RemoteScreens::open_web(const WebServerConfig& web, std::string* error) {
  ports_.push_back(std::make_unique<ScreenPort>(static_cast<uint8_t>(ports_.size())));
  control_ = std::make_unique<ControlPort>(GuestPorts::kPageConsole);
  web_ = WebServer::create(web, *ports_.back(), *control_, error);
  if (web_ == nullptr) return false;
  std::fprintf(stderr, "ringshift: web: the machine is at %s\n", web_->where().c_str());
  return true;
}

void RemoteScreens::put_into(MachineConfig* config) {
  for (const auto& port : ports_) config->screens.push_back(port.get());
  config->control_page = control_.get();
}

bool RemoteScreens::attach(Machine& machine, std::string* error) {
  for (const auto& port : ports_) port->attach(machine.inbox());
  if (control_ != nullptr) control_->attach(machine.inbox(), machine.pci() != nullptr);
  if (has_started_) return true;
  has_started_ = true;
  try {
    if (vnc_ != nullptr) vnc_->start();
    if (web_ != nullptr) web_->start();
  } catch (const std::system_error& refused) {
    *error = std::string("the host refuses a thread: ") + refused.what();
    return false;
  }
  return true;
}

void RemoteScreens::detach() {
  for (const auto& port : ports_) port->detach();
  if (control_ != nullptr) control_->detach();
}

}  // namespace ringshift
