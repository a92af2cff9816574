#include "monitor/manager/machines/keeper.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "monitor/command/limit_options.h"
#include "monitor/host/exit_codes.h"
#include "monitor/host/session_weight.h"
#include "monitor/host/time/host_clock.h"
#include "shadowmmu/base/host_connection.h"

namespace ringshift::manager {
namespace {

using control::JsonValue;
using Object = JsonValue::Object;

constexpr size_t kMostTyped = 4096;  // then consoles are not read on
constexpr size_t kMostShown = 4096;  // bytes printed before the first client came
constexpr size_t kMostClients = 16;  // at each of the two sockets
constexpr size_t kLongestErrorLine = 1000;

// Terminals end a line by CR LF; files by LF.
std::string without_returns(std::string_view bytes) {
  std::string text(bytes);
  std::erase(text, '\r');
  return text;
}

int signal_named(const std::string& name) {
  if (name == "term") return SIGTERM;
  if (name == "kill") return SIGKILL;
  return name == "report" ? SIGUSR1 : 0;
}

// The shares in the machine's --limit. 0: it has none, or makes no sense, which the machine itself
// will say.
unsigned shares_of(const std::vector<std::string>& words) {
  constexpr std::string_view kOption = "--limit";
  VcpuConfig vcpu;
  ResourceLimits limits;
  std::string problem;
  for (size_t i = 0; i < words.size(); ++i) {
    std::string_view word = words[i];
    if (!word.starts_with(kOption)) continue;
    word.remove_prefix(kOption.size());
    if (word.starts_with('=')) {
      (void)apply_limit(std::string(word.substr(1)), &vcpu, &limits, &problem);
    } else if (word.empty() && i + 1 < words.size()) {
      (void)apply_limit(words[i + 1], &vcpu, &limits, &problem);
    }
  }
  return limits.shares;
}

// A machine that begins or ends would be ended by a request for its statistics.
bool hears_of_reports(pid_t process) {
  constexpr const char* kCaught = "SigCgt:";
  const auto status = read_whole("/proc/" + std::to_string(process) + "/status");
  const size_t at = status ? status->find(kCaught) : std::string::npos;
  if (at == std::string::npos) return false;
  const uint64_t caught = std::strtoull(status->c_str() + at + std::strlen(kCaught), nullptr, 16);
  return (caught >> (SIGUSR1 - 1) & 1) != 0;
}

}  // namespace

Keeper::~Keeper() {
  for (const int socket : {orders_from_, consoles_from_}) {
    if (socket >= 0) close(socket);
  }
}

int Keeper::run() {
  std::string problem;
  if (!start(&problem)) {
    const Object ended{{"code", kExitUsage}, {"why", problem}, {"at", HostClock::wall_time()}};
    (void)write_whole(folder_.ended(), JsonValue(ended).text());
    return kExitUsage;
  }
  while (!has_left_) serve_once();
  return 0;
}

bool Keeper::start(std::string* problem) {
  JsonValue command;
  size_t at = 0;
  const std::optional<std::string> text = read_whole(folder_.command());
  if (!text || !control::parse_json(*text, &command, &at)) {
    *problem = "cannot read " + folder_.command();
    return false;
  }
  if (!lock_.take(folder_.lock())) {
    *problem = "the machine is kept already: " + folder_.lock() + ": " + std::strerror(errno);
    return false;
  }
  if (!signals_.open({SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGPIPE}) || !log_.begin(folder_.log())) {
    *problem = "cannot write " + folder_.log() + ": " + std::strerror(errno);
    return false;
  }
  consoles_from_ = listen_at(folder_.console(), problem);
  if (consoles_from_ < 0) return false;
  std::vector<std::string> words = texts_of(command, "words");
  for (const std::string& own : texts_of(command, "own")) words.push_back(own);
  if (const unsigned shares = shares_of(words); shares != 0) {
    (void)set_session_level(nice_level_of(shares));
  }
  machine_ = MachineProcess::start(words, text_of(command, "folder"), problem);
  since_ = HostClock::wall_time();
  if (machine_ != nullptr) orders_from_ = listen_at(folder_.keeper(), problem);
  return orders_from_ >= 0;
}

void Keeper::serve_once() {
  std::vector<pollfd> waiting{{signals_.descriptor(), POLLIN, 0},
                              {orders_.size() < kMostClients ? orders_from_ : -1, POLLIN, 0},
                              {consoles_.size() < kMostClients ? consoles_from_ : -1, POLLIN, 0},
                              {output_ended_ ? -1 : machine_->terminal(),
                               static_cast<short>(POLLIN | (typed_.empty() ? 0 : POLLOUT)), 0},
                              {errors_ended_ ? -1 : machine_->errors(), POLLIN, 0}};
  const size_t own = waiting.size();
  for (const Wire& wire : orders_) waiting.push_back(wire.waiting_for());
  for (const Wire& wire : consoles_) {
    waiting.push_back(wire.waiting_for());
    if (typed_.size() >= kMostTyped && !wire.has_output()) waiting.back().fd = -1;
  }
  if (poll(waiting.data(), waiting.size(), -1) < 0) return;
  for (size_t i = 0; i < orders_.size(); ++i) orders_[i].serve(waiting[own + i].revents);
  for (size_t i = 0; i < consoles_.size(); ++i) {
    consoles_[i].serve(waiting[own + orders_.size() + i].revents);
  }
  take_output();
  take_errors();
  take_input();
  take_orders();
  accept_all();
  // A client that sends no more may still read, as `echo ls | ringshift console NAME` does.
  const auto is_done = [](const Wire& wire) { return !wire.is_open() || wire.has_gone(); };
  std::erase_if(orders_, is_done);
  std::erase_if(consoles_, is_done);
  take_signals();
}

void Keeper::accept_all() {
  const auto accept_from = [](int listener, std::vector<Wire>* wires) {
    const int socket = wires->size() < kMostClients ? accept_connection(listener) : -1;
    if (socket >= 0) wires->emplace_back(socket);
    return socket >= 0;
  };
  while (accept_from(orders_from_, &orders_)) orders_.back().say(state());
  while (accept_from(consoles_from_, &consoles_)) consoles_.back().send(shown_last_);
}

JsonValue Keeper::state() const {
  return Object{{"state", "running"},
                {"keeper", static_cast<int64_t>(getpid())},
                {"machine", static_cast<int64_t>(machine_->id())},
                {"since", since_}};
}

void Keeper::take_output() {
  std::string bytes;
  if (output_ended_) return;
  output_ended_ = !MachineProcess::read_some(machine_->terminal(), &bytes);
  if (!bytes.empty()) show(bytes);
}

void Keeper::take_errors() {
  std::string bytes;
  if (errors_ended_) return;
  errors_ended_ = !MachineProcess::read_some(machine_->errors(), &bytes);
  if (!bytes.empty()) note_errors(bytes);
}

void Keeper::show(std::string_view bytes) {
  log_.append(without_returns(bytes));
  shown_last_ += bytes;
  if (shown_last_.size() > kMostShown) shown_last_.erase(0, shown_last_.size() - kMostShown);
  for (Wire& wire : consoles_) wire.send(bytes);
}

// The monitor's messages are in the log, too, and its last line may say why it ends.
void Keeper::note_errors(std::string_view bytes) {
  std::string shown;
  for (const char byte : bytes) {
    if (byte == '\n') {
      shown += '\r';
      if (!error_line_.empty()) last_error_ = std::exchange(error_line_, {});
    } else if (error_line_.size() < kLongestErrorLine) {
      error_line_ += byte;
    }
    shown += byte;
  }
  show(shown);
}

void Keeper::take_input() {
  for (Wire& wire : consoles_) {
    if (typed_.size() < kMostTyped) typed_ += wire.take_bytes();
  }
  if (!typed_.empty() && !output_ended_) typed_.erase(0, machine_->type(typed_));
}

void Keeper::take_orders() {
  for (Wire& wire : orders_) {
    while (const std::optional<JsonValue> order = wire.take_message()) {
      if (const int number = signal_named(text_of(*order, "signal")); number != 0) {
        if (number != SIGUSR1 || hears_of_reports(machine_->id())) machine_->signal_it(number);
      }
    }
  }
}

void Keeper::take_signals() {
  while (const int number = signals_.take()) {
    if (number != SIGCHLD && number != SIGPIPE) machine_->signal_it(SIGTERM);
  }
  if (const std::optional<MachineProcess::End> end = machine_->take_end()) leave(*end);
}

void Keeper::leave(const MachineProcess::End& end) {
  constexpr int kMostReads = 100;  // a process of the machine's may hold them open
  for (int i = 0; i < kMostReads && !(output_ended_ && errors_ended_); ++i) {
    take_output();
    take_errors();
  }
  if (!error_line_.empty()) last_error_ = error_line_;
  constexpr const char* kOurs = "ringshift: ";
  if (last_error_.starts_with(kOurs)) last_error_.erase(0, std::strlen(kOurs));
  const JsonValue ended =
      Object{{"state", "ended"},   {"code", end.code}, {"signal", end.signal},
             {"why", last_error_}, {"since", since_},  {"at", HostClock::wall_time()}};
  (void)write_whole(folder_.ended(), ended.text());
  for (Wire& wire : orders_) wire.say(ended);
  say_farewell();
  has_left_ = true;
}

// Clients that read get the rest of the output, which is bounded; so is the time for it.
void Keeper::say_farewell() {
  constexpr Nanoseconds kLongest = 1'000'000'000;
  constexpr int kStep = 50;  // ms
  const Nanoseconds end = HostClock::monotonic() + kLongest;
  for (std::vector<Wire>* wires : {&orders_, &consoles_}) {
    for (Wire& wire : *wires) {
      while (wire.is_open() && wire.has_output() && HostClock::monotonic() < end) {
        pollfd waiting = wire.waiting_for();
        waiting.events = POLLOUT;
        (void)poll(&waiting, 1, kStep);
        wire.serve(waiting.revents);
      }
    }
  }
  for (const std::string& path : {folder_.keeper(), folder_.console()}) {
    (void)unlink(path.c_str());
  }
}

}  // namespace ringshift::manager
