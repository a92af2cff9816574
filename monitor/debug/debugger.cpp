#include "monitor/debug/debugger.h"

#include <cstdio>
#include <system_error>

#include "monitor/replay/input_tape.h"
#include "shadowmmu/base/check.h"

namespace ringshift::debug {

std::unique_ptr<Debugger> Debugger::create(const DebugRequest& request, std::string* error) {
  auto debugger = std::unique_ptr<Debugger>(new Debugger(request));
  if (request.gdb.kind == SocketAddress::Kind::None) return debugger;
  debugger->socket_ = HostSocket::create(request.gdb, "--gdb", error);
  if (debugger->socket_ == nullptr) return nullptr;
  std::fprintf(stderr, "ringshift: gdb: target remote %s\n", debugger->socket_->where().c_str());
  return debugger;
}

Debugger::Debugger(const DebugRequest& request)
    : request_(request), prompt_([this](const std::string& text) { print(text); }) {}

Debugger::~Debugger() = default;

void Debugger::put_into(MachineConfig* config) {
  config->control = &control_;
  config->goes_back = config->tape != nullptr && config->tape->is_replay() &&
                      request_.gdb.kind != SocketAddress::Kind::None;
  config->service_debugger = [this](Machine&) { service(); };
}

bool Debugger::attach(Machine& machine, std::string* error) {
  machine_ = &machine;
  around_.emplace(machine, control_,
                  ControlSurroundings{.facts = {request_.name, request_.version},
                                      .folder = request_.control_folder,
                                      .screendump = request_.screendump,
                                      .run_state = [this] { return run_state(); },
                                      .stop = [this] { control_.hold(); },
                                      .go_on = [this](std::string* why) { return go_on(why); }});
  target_.emplace(machine, control_, *around_, [this] { return gdb_has_guest(); });
  if (session_) session_->set_target(*target_);
  {
    const std::lock_guard lock(mutex_);
    inbox_ = &machine.inbox();
  }
  was_prompt_open_ = false;
  if (has_started_) return true;
  has_started_ = true;
  is_prelaunch_ = request_.starts_paused;
  if (starts_held()) {
    control_.hold();
    return true;
  }
  if (request_.starts_paused) control_.pause(StopCause::Asked);
  if (socket_ == nullptr) {
    if (request_.starts_paused && machine.console() != nullptr) {
      machine.console_inlet().begin_at_prompt();
    }
    return true;
  }
  try {
    socket_->start([this] {
      const std::lock_guard lock(mutex_);
      if (inbox_ != nullptr) inbox_->put({HostInput::Kind::Debugger, 0, {}});
    });
  } catch (const std::system_error& refused) {
    *error = std::string("the host refuses a thread: ") + refused.what();
    return false;
  }
  return true;
}

void Debugger::detach_machine() {
  const std::lock_guard lock(mutex_);
  inbox_ = nullptr;
  machine_ = nullptr;
  target_.reset();
  around_.reset();  // before the machine's clock, on which it has a timer
}

// Only the program that controls the machine is to let it go.
bool Debugger::starts_held() const {
  return request_.starts_paused && request_.has_controller && socket_ == nullptr;
}

RunState Debugger::run_state() const {
  if (!control_.is_paused() && !control_.is_held()) return RunState::Running;
  if (is_prelaunch_) return RunState::Prelaunch;
  return control_.is_paused() && !prompt_pauses_ ? RunState::Debug : RunState::Paused;
}

bool Debugger::go_on(std::string* error) {
  if (control_.is_paused() && gdb_has_guest()) {
    *error = "a debugger has the guest";
    return false;
  }
  control_.release();
  if (was_prompt_open_) close_prompt();
  if (control_.is_paused()) control_.resume();
  return true;
}

void Debugger::report_end(uint8_t exit_code) {
  if (session_) session_->report_end(exit_code);
}

void Debugger::service() {
  if (machine_ == nullptr) return;
  service_gdb();
  service_prompt();
  if (!control_.is_paused() && !control_.is_held()) is_prelaunch_ = false;
}

// ---- gdb ----

void Debugger::begin_session() {
  session_.emplace(*target_, [this](std::string_view bytes) { socket_->send(bytes); });
  control_.pause(StopCause::Asked);
  prompt_pauses_ = false;
}

// Its breakpoints go, and the guest goes on.
void Debugger::end_session(const char* why) {
  if (why != nullptr) std::fprintf(stderr, "ringshift: gdb: %s\n", why);
  session_.reset();
  socket_->close();
  control_.remove_all();
  target_->stop_travel();
  if (!control_.is_paused()) return;
  prompt_pauses_ = machine_->console_inlet().prompt_is_open();
  if (!prompt_pauses_) control_.resume();
}

void Debugger::service_gdb() {
  if (socket_ == nullptr || !socket_->is_connected()) return;
  if (!session_) begin_session();
  const HostSocket::Received received = socket_->receive();
  session_->take(received.bytes);
  // Reports a stop that happened by itself, or that gdb has asked for meanwhile.
  if (control_.is_paused() && !prompt_pauses_) session_->report_stop();
  if (!control_.is_paused() || !session_->awaits_stop()) prompt_pauses_ = false;
  if (session_->is_over()) return end_session(nullptr);
  if (received.ended) {
    end_session("the debugger has gone without a word; its breakpoints go, the guest goes on");
  }
}

// ---- the person at the console ----

void Debugger::print(const std::string& text) {
  HostConsole* console = machine_->console();
  if (console == nullptr) return;
  for (const char character : text) {
    if (character == '\n') console->transmit('\r');
    console->transmit(static_cast<uint8_t>(character));
  }
  console->flush();
}

void Debugger::open_prompt() {
  was_prompt_open_ = true;
  machine_->console_inlet().set_prompt_open(true);
  if (!control_.is_paused()) {
    control_.pause(StopCause::Asked);
    prompt_pauses_ = true;
  } else {
    prompt_pauses_ = !gdb_has_guest();
  }
  prompt_.open(*target_);
}

void Debugger::close_prompt() {
  was_prompt_open_ = false;
  machine_->console_inlet().set_prompt_open(false);
  print(control_.is_held() ? "\nthe guest stands until cont\n" : "\n");
  if (prompt_pauses_ && control_.is_paused()) control_.resume();
  prompt_pauses_ = false;
}

void Debugger::service_prompt() {
  if (machine_->console() == nullptr) return;
  ConsoleInlet& inlet = machine_->console_inlet();
  const bool stands_alone = control_.is_paused() && !gdb_has_guest() && socket_ == nullptr;
  const bool stopped_by_point = control_.is_paused() && !gdb_has_guest() && !prompt_pauses_ &&
                                control_.last_stop().cause != StopCause::Asked;
  const bool is_open = inlet.prompt_is_open();
  if (was_prompt_open_ && !is_open) return close_prompt();
  if (!was_prompt_open_ && (is_open || stopped_by_point || stands_alone)) open_prompt();
  if (!was_prompt_open_ || !control_.is_paused()) return;  // or a step is on its way
  if (prompt_steps_) {
    prompt_steps_ = false;
    prompt_.open(*target_);
  }
  Prompt::Wish wish = Prompt::Wish::Stay;
  inlet.deliver_to_prompt([&](std::span<const uint8_t> keys) {
    std::span<const uint8_t> left(keys);
    wish = prompt_.take(&left, *target_, !gdb_has_guest());
    return keys.size() - left.size();
  });
  prompt_steps_ = wish == Prompt::Wish::Step;
  // Nobody will answer any more: the end of a script is not to hold the guest for ever.
  const bool is_deserted = !prompt_steps_ && inlet.has_ended() && !inlet.has_prompt_input();
  if (wish != Prompt::Wish::Leave && !is_deserted) return;
  close_prompt();
  inlet.leave_rest_to_guest();
}

}  // namespace ringshift::debug
