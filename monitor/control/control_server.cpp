#include "monitor/control/control_server.h"

#include <cstdio>
#include <span>
#include <system_error>
#include <utility>

#include "monitor/control/monitor_session.h"
#include "monitor/control/qmp_session.h"
#include "monitor/host/host_signals.h"
#include "monitor/host/time/host_clock.h"

namespace ringshift::control {
namespace {

using debug::MachineControl;
using debug::RunState;
using Object = JsonValue::Object;

// At one safe point, of one client; the next ones wait for the next.
constexpr int kMostAtOnce = 16;
// A client that has gone before it was answered has so many bytes of its last requests still
// carried out.
constexpr size_t kLastWords = 4096;

// QEMU, qapi/run-state.json: ShutdownCause.
const char* shutdown_reason(StopReason reason, bool was_asked) {
  switch (reason) {
    case StopReason::Halted:
    case StopReason::DebugExit:
      return "guest-shutdown";
    case StopReason::Panicked:
      return "guest-panic";
    case StopReason::Reset:
      return was_asked ? "host-qmp-system-reset" : "guest-reset";
    case StopReason::Quit:
    case StopReason::Saved:
    case StopReason::Migrated:
      return was_asked ? "host-qmp-quit" : "host-signal";
    default:
      return "host-error";
  }
}

}  // namespace

std::unique_ptr<ControlServer> ControlServer::create(const std::vector<ControlRequest>& requests,
                                                     std::string version, debug::Debugger& debugger,
                                                     std::string* error) {
  auto server = std::unique_ptr<ControlServer>(new ControlServer(std::move(version), debugger));
  for (const ControlRequest& request : requests) {
    Wire wire;
    wire.request = request;
    wire.socket = HostSocket::create(request.where, request.option, error);
    if (wire.socket == nullptr) return nullptr;
    const bool is_any_port =
        request.where.kind == SocketAddress::Kind::Tcp && request.where.port == 0;
    if (is_any_port || request.waits) {
      std::fprintf(stderr, "ringshift: %s: %s at %s\n", request.option.c_str(),
                   request.waits ? "the guest waits for a client" : "listens",
                   wire.socket->where().c_str());
    }
    server->waits_ = server->waits_ || request.waits;
    server->wires_.push_back(std::move(wire));
  }
  return server;
}

void ControlServer::put_into(MachineConfig* config) {
  if (wires_.empty()) return;
  config->service_control = [this](Machine&) { service(); };
}

bool ControlServer::attach(Machine& machine, std::string* error) {
  {
    const std::lock_guard lock(mutex_);
    inbox_ = &machine.inbox();
  }
  if (has_started_) {
    const bool by_guest = !std::exchange(reset_was_asked_, false);
    tell("RESET",
         {{"guest", by_guest}, {"reason", by_guest ? "guest-reset" : "host-qmp-system-reset"}});
    return true;
  }
  has_started_ = true;
  if (waits_) debugger_.hold();
  was_running_ = debugger_.machine_control().run_state() == RunState::Running;
  for (Wire& wire : wires_) {
    if (!start(&wire, error)) return false;
  }
  return true;
}

bool ControlServer::start(Wire* wire, std::string* error) {
  try {
    wire->socket->start([this] {
      const std::lock_guard lock(mutex_);
      if (inbox_ != nullptr) inbox_->put({HostInput::Kind::Control, 0, {}});
    });
    return true;
  } catch (const std::system_error& refused) {
    *error = std::string("the host refuses a thread: ") + refused.what();
    return false;
  }
}

void ControlServer::detach_machine() {
  tell_news();
  const std::lock_guard lock(mutex_);
  inbox_ = nullptr;
}

void ControlServer::report_end(const MachineOutcome& outcome) {
  const bool by_guest = outcome.reason == StopReason::Halted ||
                        outcome.reason == StopReason::DebugExit ||
                        outcome.reason == StopReason::Panicked ||
                        (outcome.reason == StopReason::Reset && !reset_was_asked_);
  const bool was_asked = outcome.reason == StopReason::Reset ? reset_was_asked_ : end_was_asked_;
  tell("SHUTDOWN", {{"guest", by_guest}, {"reason", shutdown_reason(outcome.reason, was_asked)}});
}

// ---- at a safe point ----

void ControlServer::service() {
  for (Wire& wire : wires_) {
    if (wire.session == nullptr && wire.socket->is_connected()) begin(&wire);
    if (wire.session != nullptr) serve(&wire);
  }
  tell_news();
}

void ControlServer::begin(Wire* wire) {
  const auto send = [socket = wire->socket.get()](std::string_view bytes) { socket->send(bytes); };
  if (wire->request.speaks_qmp) {
    wire->session = std::make_unique<QmpSession>(send, version_, wire->request.pretty);
  } else {
    wire->session = std::make_unique<MonitorSession>(send, version_);
  }
  wire->session->begin();
  if (!wire->request.waits || !std::exchange(waits_, false)) return;
  debugger_.end_hold();
}

void ControlServer::serve(Wire* wire) {
  MachineControl& target = debugger_.machine_control();
  for (int served = 0; wire->socket->has_room(); ++served) {
    if (served == kMostAtOnce) {
      const std::lock_guard lock(mutex_);
      if (inbox_ != nullptr) inbox_->put({HostInput::Kind::Control, 0, {}});
      return;
    }
    // The beginning of a request is no reason to stop: its end may have come, and been told of,
    // while there were others to serve.
    const bool is_last = wire->pending.empty() || wire->has_ended;
    if (wire->pending.empty() && !wire->has_ended) {
      HostSocket::Received received = wire->socket->receive();
      wire->pending = std::move(received.bytes);
      wire->has_ended = received.ended;
    }
    if (wire->socket->is_broken()) {
      wire->has_ended = true;
      if (wire->pending.size() > kLastWords) wire->pending.resize(kLastWords);
    }
    std::span<const uint8_t> left(wire->pending);
    const bool was_request = wire->session->take(&left, target);
    wire->pending.erase(wire->pending.begin(),
                        wire->pending.end() - static_cast<ptrdiff_t>(left.size()));
    tell_news();
    if (!was_request && is_last) break;
  }
  if (!wire->has_ended || !wire->pending.empty()) return;
  wire->session.reset();
  wire->has_ended = false;
  wire->socket->close();
}

// Tells all changes since the last time, no matter who made them.
void ControlServer::tell_news() {
  MachineControl& target = debugger_.machine_control();
  for (const MachineControl::News& news : target.take_news()) {
    switch (news.kind) {
      case MachineControl::News::Kind::Tray:
        tell("DEVICE_TRAY_MOVED",
             {{"device", news.device}, {"id", news.device}, {"tray-open", news.is_open}});
        break;
      case MachineControl::News::Kind::PowerButton:
        tell("POWERDOWN", {});
        break;
      case MachineControl::News::Kind::Panicked:
        tell("GUEST_PANICKED", {{"action", news.device}});
        break;
      case MachineControl::News::Kind::CrashLoaded:
        tell("GUEST_CRASHLOADED", {{"action", news.device}});
        break;
      case MachineControl::News::Kind::Watchdog:
        tell("WATCHDOG", {{"action", news.device}});
        break;
      case MachineControl::News::Kind::Balloon:
        tell("BALLOON_CHANGE", {{"actual", static_cast<int64_t>(target.balloon().value_or(0))}});
        break;
      case MachineControl::News::Kind::ResetAsked:
        reset_was_asked_ = true;
        break;
      case MachineControl::News::Kind::EndAsked:
        end_was_asked_ = true;
        break;
      case MachineControl::News::Kind::Migration:
        tell("MIGRATION", {{"status", news.device}});
        break;
    }
  }
  const bool runs = target.run_state() == RunState::Running;
  if (runs == std::exchange(was_running_, runs)) return;
  tell(runs ? "RESUME" : "STOP", {});
}

void ControlServer::tell(const char* name, Object data) {
  constexpr int64_t kSecond = 1'000'000'000, kMicrosecond = 1'000;
  const int64_t now = HostClock::wall_time();
  const ControlEvent event{name, std::move(data), now / kSecond, now % kSecond / kMicrosecond};
  for (const Wire& wire : wires_) {
    if (wire.session != nullptr) wire.session->tell(event);
  }
}

}  // namespace ringshift::control
