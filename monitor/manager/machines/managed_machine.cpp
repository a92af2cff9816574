#include "monitor/manager/machines/managed_machine.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "monitor/host/exit_codes.h"
#include "monitor/host/time/host_clock.h"

namespace ringshift::manager {
namespace {

using control::JsonValue;
using Object = JsonValue::Object;

constexpr Nanoseconds kSecond = 1'000'000'000;
// A keeper has to be there by then; a machine that was asked to end, to have ended.
constexpr Nanoseconds kKeeperGrace = 10 * kSecond, kTermGrace = 5 * kSecond;

[[noreturn]] void become_keeper(const std::string& folder) {
  // A session of its own, which the host weighs against those of other machines as a whole.
  setsid();
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int standard = 0; standard <= STDERR_FILENO; ++standard) dup2(nothing, standard);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  std::string name = "ringshift", command = "keep", where = folder;
  const std::array<char*, 4> arguments{name.data(), command.data(), where.data(), nullptr};
  execv("/proc/self/exe", arguments.data());
  _exit(kExitUsage);
}

// The word of our events for a QMP event of the guest.
const char* word_of_qmp(const std::string& event) {
  constexpr std::array<std::array<const char*, 2>, 8> kWords{{{"RESET", "reset"},
                                                              {"STOP", "paused"},
                                                              {"RESUME", "resumed"},
                                                              {"POWERDOWN", "power-button"},
                                                              {"GUEST_PANICKED", "panicked"},
                                                              {"WATCHDOG", "watchdog"},
                                                              {"SHUTDOWN", "shutdown"},
                                                              {"MIGRATION", "migration"}}};
  for (const auto& [name, word] : kWords) {
    if (event == name) return word;
  }
  return nullptr;
}

// Then the pictures that we ask for have nowhere to go.
bool has_own_folder(const std::vector<std::string>& words) {
  return std::any_of(words.begin(), words.end(),
                     [](const std::string& word) { return word.starts_with("--control-folder="); });
}

}  // namespace

const char* word_of(MachineState state) {
  switch (state) {
    case MachineState::Starting:
      return "starting";
    case MachineState::Up:
      return "up";
    case MachineState::Paused:
      return "paused";
    case MachineState::Stopping:
      return "stopping";
    case MachineState::Ended:
      return "ended";
    case MachineState::Lost:
      return "lost";
  }
  return "";
}

bool ManagedMachine::start(const std::vector<std::string>& words, const std::string& folder,
                           std::string* problem) {
  if (!make_machine_folder(folder_, problem)) return false;
  std::vector<std::string> own{"--name=" + name_, "--qmp=unix:" + folder_.qmp(),
                               "--stats-file=" + folder_.statistics()};
  if (!has_own_folder(words)) own.push_back("--control-folder=" + folder_.open());
  const JsonValue command =
      Object{{"folder", folder}, {"words", array_of(words)}, {"own", array_of(own)}};
  if (!write_whole(folder_.command(), command.text())) {
    *problem = "cannot write " + folder_.command() + ": " + std::strerror(errno);
    return false;
  }
  const pid_t keeper = fork();
  if (keeper == 0) become_keeper(folder_.path);
  if (keeper < 0) {
    *problem = std::string("no process for a keeper: ") + std::strerror(errno);
    return false;
  }
  words_ = words;
  state_ = MachineState::Starting;
  was_adopted_ = was_up_ = is_kill_wanted_ = is_button_wanted_ = makes_screen_ = false;
  process_ = exit_code_ = 0;
  term_at_ = kill_at_ = 0;
  began_ = HostClock::monotonic();
  since_ = HostClock::wall_time();
  end_text_.clear();
  events_.add(name_, "started");
  return true;
}

void ManagedMachine::adopt() {
  JsonValue command;
  size_t at = 0;
  const std::optional<std::string> text = read_whole(folder_.command());
  if (text && parse_json(*text, &command, &at)) words_ = texts_of(command, "words");
  was_adopted_ = true;
  began_ = HostClock::monotonic() - kKeeperGrace;  // it is there, or it is not
  connect();
}

// ---- requests to the machine ----

void ManagedMachine::stop(Nanoseconds grace) {
  if (!is_there() || term_at_ != 0 || kill_at_ != 0) return;
  term_at_ = HostClock::monotonic() + grace;
  events_.add(name_, "stopping");
  if (state_ == MachineState::Paused || grace <= 0) {
    term_at_ = HostClock::monotonic();
  } else if (state_ == MachineState::Up) {
    press_power_button();
  } else {
    is_button_wanted_ = true;
  }
  state_ = MachineState::Stopping;
  pursue_end();
}

void ManagedMachine::press_power_button() {
  is_button_wanted_ = false;
  qmp_.say(Object{{"execute", "system_powerdown"}, {"id", "powerdown"}});
}

void ManagedMachine::kill() {
  if (!is_there()) return;
  is_kill_wanted_ = true;
  state_ = MachineState::Stopping;
  pursue_end();
}

void ManagedMachine::ask_for_statistics() {
  if (was_up_) signal_it("report");
}

// One at a time: a guest that runs slowly is not asked for more than it can show.
void ManagedMachine::ask_for_screen() {
  if (!was_up_ || !qmp_.is_open() || makes_screen_ || has_own_folder(words_)) return;
  makes_screen_ = true;
  qmp_.say(Object{{"execute", "screendump"},
                  {"id", "screen"},
                  {"arguments", Object{{"filename", folder_.next_screen()}, {"format", "png"}}}});
}

void ManagedMachine::signal_it(const char* name) { keeper_.say(Object{{"signal", name}}); }

void ManagedMachine::pursue_end() {
  if (!keeper_.is_open()) return;
  const Nanoseconds now = HostClock::monotonic();
  if (term_at_ != 0 && now >= term_at_) {
    signal_it("term");
    term_at_ = 0;
    kill_at_ = now + kTermGrace;
  }
  if (is_kill_wanted_ || (kill_at_ != 0 && now >= kill_at_)) {
    signal_it("kill");
    kill_at_ = 0;
    is_kill_wanted_ = false;
  }
}

// ---- of a poll() ----

bool ManagedMachine::is_in_motion() const {
  return state_ == MachineState::Starting || state_ == MachineState::Stopping || is_kill_wanted_ ||
         (is_there() && !(keeper_.is_open() && qmp_.is_open()));
}

bool ManagedMachine::has_settled() const {
  constexpr Nanoseconds kLongest = 30 * kSecond;
  return state_ != MachineState::Starting || HostClock::monotonic() - began_ > kLongest;
}

void ManagedMachine::add_to(std::vector<pollfd>* waiting) const {
  waiting->push_back(keeper_.waiting_for());
  waiting->push_back(qmp_.waiting_for());
}

void ManagedMachine::serve(const std::vector<pollfd>& waiting, size_t at) {
  if (!is_there()) return;
  keeper_.serve(waiting[at].revents);
  qmp_.serve(waiting[at + 1].revents);
  take_qmp_messages();
  take_keeper_messages();
  if (is_there()) connect();
  if (is_there()) pursue_end();
}

void ManagedMachine::connect() {
  if (!keeper_.is_open()) {
    keeper_ = Wire::to(folder_.keeper());
    if (!keeper_.is_open() && errno != EAGAIN) {
      JsonValue end;
      size_t at = 0;
      const std::optional<std::string> text = read_whole(folder_.ended());
      if (text && parse_json(*text, &end, &at)) {
        take_end(end);
      } else if (HostClock::monotonic() - began_ >= kKeeperGrace) {
        be_lost();
      }
      return;
    }
  }
  if (!qmp_.is_open()) {
    qmp_ = Wire::to(folder_.qmp());
    makes_screen_ = false;
  }
}

void ManagedMachine::take_keeper_messages() {
  while (const std::optional<JsonValue> message = keeper_.take_message()) {
    if (text_of(*message, "state") == "ended") {
      take_end(*message);
      return;
    }
    process_ = number_of(*message, "machine");
    since_ = number_of(*message, "since");
  }
  if (!keeper_.is_open() || !keeper_.has_ended()) return;
  // It has gone without a word: its earlier words, if it wrote any, are the truth.
  keeper_.close();
  began_ = HostClock::monotonic() - kKeeperGrace;
}

void ManagedMachine::take_qmp_messages() {
  while (const std::optional<JsonValue> message = qmp_.take_message()) {
    if (message->find("QMP") != nullptr) {
      qmp_.say(Object{{"execute", "qmp_capabilities"}, {"id", "begin"}});
      qmp_.say(Object{{"execute", "query-status"}, {"id", "status"}});
    } else if (text_of(*message, "id") == "status") {
      const JsonValue* const status = message->find("return");
      const bool runs = status != nullptr && text_of(*status, "status") == "running";
      be_up();
      if (!runs && state_ == MachineState::Up) state_ = MachineState::Paused;
    } else if (text_of(*message, "id") == "screen") {
      makes_screen_ = false;
      if (message->find("return") == nullptr) continue;
      (void)rename(folder_.next_screen().c_str(), folder_.screen().c_str());
    } else if (text_of(*message, "id") == "powerdown" && message->find("error") != nullptr) {
      // There is no power button.
      if (term_at_ != 0) term_at_ = HostClock::monotonic();
    } else if (message->find("event") != nullptr) {
      take_qmp_event(*message);
    }
  }
  if (qmp_.has_ended()) qmp_.close();
}

void ManagedMachine::be_up() {
  const bool is_news = !std::exchange(was_up_, true);
  if (state_ == MachineState::Starting) state_ = MachineState::Up;
  if (is_button_wanted_) press_power_button();
  if (is_news)
    events_.add(name_, was_adopted_ ? "adopted" : "up", fmt::format("process {}", process_));
}

void ManagedMachine::take_qmp_event(const JsonValue& message) {
  const std::string event = text_of(message, "event");
  if (event == "STOP" && state_ == MachineState::Up) state_ = MachineState::Paused;
  if (event == "RESUME" && state_ == MachineState::Paused) state_ = MachineState::Up;
  const char* const word = word_of_qmp(event);
  if (word == nullptr) return;
  const JsonValue* const data = message.find("data");
  std::string detail;
  for (const char* member : {"reason", "action", "status"}) {
    if (data != nullptr && detail.empty()) detail = text_of(*data, member);
  }
  events_.add(name_, word, detail);
}

// ---- its end ----

void ManagedMachine::take_end(const JsonValue& end) {
  const int64_t signal = number_of(end, "signal");
  const std::string why = text_of(end, "why");
  exit_code_ = signal != 0 ? 128 + signal : number_of(end, "code");
  end_text_ =
      signal != 0 ? fmt::format("signal {}", signal) : fmt::format("exit code {}", exit_code_);
  if (!why.empty()) end_text_ += ": " + why;
  const bool is_wanted = state_ == MachineState::Stopping;
  const bool is_crash = signal != 0 || exit_code_ == kExitUnimplemented ||
                        exit_code_ == kExitHost || exit_code_ == kExitPanic ||
                        exit_code_ == kExitInternal;
  state_ = MachineState::Ended;
  since_ = number_of(end, "at");
  keeper_.close();
  qmp_.close();
  tell_end(is_crash && !is_wanted ? "crashed" : "ended");
}

void ManagedMachine::be_lost() {
  state_ = MachineState::Lost;
  end_text_ = "its keeper was killed";
  exit_code_ = kExitHost;
  qmp_.close();
  tell_end("lost");
}

// An end that an earlier manager has told is not told again.
void ManagedMachine::tell_end(const char* word) {
  if (!was_adopted_ || !events_.has_told_end_of(name_)) events_.add(name_, word, end_text_);
}

JsonValue ManagedMachine::description() const {
  return Object{
      {"name", name_},    {"state", word_of(state_)}, {"process", process_},      {"since", since_},
      {"end", end_text_}, {"code", exit_code_},       {"words", array_of(words_)}};
}

}  // namespace ringshift::manager
