#include "devices/host/host_console.h"

#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

#include "shadowmmu/base/check.h"

namespace ringshift {
namespace {

constexpr uint8_t kEscapeKey = 0x01;  // Ctrl-A
constexpr size_t kOutputLimit = 16 * 1024;
// Bytes that wait to be written. Beyond the first bound the guest stands still; if it prints all
// the same, output beyond the second is lost.
constexpr size_t kOutboxFull = 64 * 1024, kOutboxLimit = 1 << 20;
// When the run is to end: how long a reader that still reads gets for the rest.
constexpr std::chrono::milliseconds kFarewell{80}, kLook{10};
constexpr std::string_view kHelp =
    "\r\nCtrl-A h  this help\r\nCtrl-A x  quit\r\nCtrl-A a  send Ctrl-A to the guest\r\n";
constexpr std::string_view kPromptHelp = "Ctrl-A c  stop the guest and ask, or go on\r\n";

// The state that restore_terminal needs must outlive every object and be readable in a signal
// handler: it is this folder's only static state. The descriptor is published last and taken first.
termios g_saved_modes;
termios g_raw_modes;
std::atomic<int> g_raw_descriptor{-1};
std::atomic<int> g_suspended_descriptor{-1};
static_assert(std::atomic<int>::is_always_lock_free);

void set_modes(int descriptor, const termios& modes) {
  // In the background tcsetattr would stop us with SIGTTOU; POSIX lets it through when blocked.
  sigset_t block, before;
  sigemptyset(&block);
  sigaddset(&block, SIGTTOU);
  pthread_sigmask(SIG_BLOCK, &block, &before);
  tcsetattr(descriptor, TCSANOW, &modes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace

bool make_terminal_raw(int descriptor) {
  termios modes;
  if (g_raw_descriptor.load() >= 0) return false;
  if (isatty(descriptor) == 0 || tcgetattr(descriptor, &modes) != 0) return false;
  g_saved_modes = modes;
  // Output keeps the terminal's own modes: many guests end a line by LF alone, which would leave
  // stairs; a CR too many does no harm.
  cfmakeraw(&modes);
  modes.c_oflag = g_saved_modes.c_oflag;
  g_raw_modes = modes;
  static const int registered = std::atexit([] { restore_terminal(); });
  CHECK(registered == 0);
  g_raw_descriptor.store(descriptor);
  if (tcsetattr(descriptor, TCSANOW, &modes) != 0) restore_terminal();
  return true;
}

void restore_terminal() {
  const int saved_errno = errno;
  const int descriptor = g_raw_descriptor.exchange(-1);
  if (descriptor >= 0) set_modes(descriptor, g_saved_modes);
  g_suspended_descriptor.store(-1);
  errno = saved_errno;
}

void suspend_terminal() {
  const int descriptor = g_raw_descriptor.exchange(-1);
  if (descriptor < 0) return;
  set_modes(descriptor, g_saved_modes);
  g_suspended_descriptor.store(descriptor);
}

// In the background this stops us (SIGTTOU) until the shell gives us the terminal again.
void resume_terminal() {
  int descriptor = g_suspended_descriptor.exchange(-1);
  if (descriptor >= 0) {
    g_raw_descriptor.store(descriptor);
  } else {
    descriptor = g_raw_descriptor.load();
  }
  if (descriptor >= 0) tcsetattr(descriptor, TCSANOW, &g_raw_modes);
}

HostConsole::HostConsole(HostConsoleConfig config) : config_(std::move(config)) {
  CHECK(config_.inbox != nullptr);
  // Asked now: a terminal that has been hung up does not say that it is one.
  output_is_terminal_ = isatty(config_.output) != 0;
  enter_raw_mode();
  try {
    start_threads();
  } catch (const std::system_error&) {
    stop_writer();
    if (raw_) restore_terminal();
    throw;
  }
}

void HostConsole::start_threads() {
  writer_.start("console-out", [this] { write_output(); });
  reader_.start("console-in", [this] { read_input(); });
}

HostConsole::~HostConsole() {
  drain();         // the escape key still works
  reader_.join();  // it may be inside a read of what another process has taken before it
  stop_writer();
  if (raw_) restore_terminal();
}

void HostConsole::enter_raw_mode() {
  is_terminal_ = isatty(config_.input) != 0;
  raw_ = is_terminal_ && make_terminal_raw(config_.input);
}

// ---- output, vCPU thread ----

void HostConsole::transmit(uint8_t byte) {
  if (output_buffer_.empty() && config_.on_held) config_.on_held();
  output_buffer_.push_back(byte);
  if (byte == '\n' || output_buffer_.size() >= kOutputLimit) flush();
}

void HostConsole::flush() {
  if (output_buffer_.empty()) return;
  put_out(output_buffer_);
  output_buffer_.clear();
  if (is_full()) config_.inbox->wake();
}

bool HostConsole::is_full() {
  const std::lock_guard lock(output_mutex_);
  room_is_wanted_ = !output_broken_ && outbox_.size() + being_written_ >= kOutboxFull;
  return room_is_wanted_;
}

size_t HostConsole::unsent() {
  const std::lock_guard lock(output_mutex_);
  return output_broken_ ? 0 : output_buffer_.size() + outbox_.size() + being_written_;
}

bool HostConsole::has_backlog() {
  const std::lock_guard lock(output_mutex_);
  return !output_broken_ && outbox_.size() + being_written_ != 0;
}

bool HostConsole::lost_output() {
  const std::lock_guard lock(output_mutex_);
  return lost_output_;
}

void HostConsole::drain() {
  flush();
  std::unique_lock lock(output_mutex_);
  std::chrono::milliseconds left = kFarewell;
  while (!output_broken_ && outbox_.size() + being_written_ != 0 && left.count() > 0) {
    output_changed_.wait_for(lock, kLook);
    if (config_.is_ending && config_.is_ending()) left -= kLook;
  }
  if (left.count() > 0) return;
  output_broken_ = true;  // once: nobody is waited for twice
  outbox_.clear();
}

void HostConsole::stop_writer() {
  {
    const std::lock_guard lock(output_mutex_);
    writer_.request_stop();
  }
  output_changed_.notify_all();
  writer_.join();  // it may be inside a write that nobody will ever let through
}

// ---- output, any thread ----

void HostConsole::put_out(std::span<const uint8_t> bytes) {
  const std::lock_guard lock(output_mutex_);
  if (output_broken_) return;
  const size_t room = kOutboxLimit - std::min(kOutboxLimit, outbox_.size());
  const auto part = bytes.first(std::min(room, bytes.size()));
  outbox_.insert(outbox_.end(), part.begin(), part.end());
  output_changed_.notify_all();
}

// ---- output, writer thread ----

void HostConsole::write_output() {
  std::unique_lock lock(output_mutex_);
  while (true) {
    output_changed_.wait(lock, [this] { return writer_.is_stopping() || !outbox_.empty(); });
    if (writer_.is_stopping()) break;
    const std::vector<uint8_t> bytes = std::exchange(outbox_, {});
    being_written_ = bytes.size();
    lock.unlock();
    const bool good = write_all(bytes);
    lock.lock();
    note_written(good);
  }
}

// Pre: output_mutex_ is held.
void HostConsole::note_written(bool good) {
  being_written_ = 0;
  if (!good) {
    output_broken_ = true;
    outbox_.clear();
  }
  if (std::exchange(room_is_wanted_, false)) config_.inbox->wake();
  output_changed_.notify_all();
}

// False: nothing can be written any more. A closed pipe comes back as EPIPE: this thread takes no
// signals.
bool HostConsole::write_all(std::span<const uint8_t> bytes) {
  while (!bytes.empty() && !writer_.is_stopping()) {
    const ssize_t written = write(config_.output, bytes.data(), bytes.size());
    if (written > 0) {
      bytes = bytes.subspan(static_cast<size_t>(written));
    } else if (written < 0 && errno == EAGAIN) {
      pollfd ready{config_.output, POLLOUT, 0};
      (void)poll(&ready, 1, -1);
    } else if (written >= 0 || errno != EINTR) {
      note_lost_output(written < 0 ? errno : EIO);
      return false;
    }
  }
  return true;
}

// Where somebody has stopped listening, the guest runs on unheard; a full disk is no such thing.
void HostConsole::note_lost_output(int error) {
  if (error == EPIPE || (error == EIO && output_is_terminal_)) return;
  {
    const std::lock_guard lock(output_mutex_);
    lost_output_ = true;
  }
  std::fprintf(stderr, "ringshift: standard output cannot be written, the rest is lost: %s\n",
               std::strerror(error));
}

// ---- input, vCPU thread ----

void HostConsole::input_taken(size_t count) {
  const std::lock_guard lock(mutex_);
  CHECK(count <= read_ahead_);
  read_ahead_ -= count;
  if (!reader_waits_for_room_ || read_ahead_ >= config_.read_ahead_limit) return;
  reader_waits_for_room_ = false;
  reader_.wake();
}

// ---- input, reader thread ----

bool HostConsole::may_listen() {
  const std::lock_guard lock(mutex_);
  const bool listen = !ended_ && (read_ahead_ < config_.read_ahead_limit || is_terminal_);
  reader_waits_for_room_ = !listen;
  return listen;
}

bool HostConsole::wait_for_input(bool listen) {
  pollfd waiting[2] = {{reader_.wake_descriptor(), POLLIN, 0},
                       {listen ? config_.input : -1, POLLIN, 0}};
  if (poll(waiting, 2, -1) < 0) return false;
  if ((waiting[0].revents & POLLIN) != 0) reader_.take_wake();
  hung_up_ = (waiting[1].revents & POLLHUP) != 0;
  return waiting[1].revents != 0;
}

void HostConsole::read_input() {
  std::array<uint8_t, 1024> bytes;
  while (!reader_.is_stopping()) {
    if (!wait_for_input(may_listen())) continue;
    const ssize_t count = read(config_.input, bytes.data(), bytes.size());
    if (count > 0) {
      take_bytes(std::span(bytes).first(static_cast<size_t>(count)));
    } else if (count == 0 || (errno != EINTR && errno != EAGAIN)) {
      note_end();
    }
  }
}

// A terminal that is hung up ends the run as SIGHUP does, which only the terminal's own session
// gets.
void HostConsole::note_end() {
  ended_ = true;
  if (is_terminal_ && hung_up_) ask_to_quit();
  put_in(HostInput::Kind::ConsoleEnd, {}, 0);
}

void HostConsole::ask_to_quit() {
  put_in(HostInput::Kind::Quit, {}, 0);
  if (config_.on_quit) config_.on_quit();
}

void HostConsole::take_bytes(std::span<const uint8_t> bytes) {
  std::vector<uint8_t> literal;
  for (const uint8_t byte : bytes) {
    if (escape_) {
      escape_ = false;
      take_escape(byte, literal);
    } else if (byte == kEscapeKey) {
      escape_ = true;
    } else {
      literal.push_back(byte);
    }
  }
  store(&literal);
}

void HostConsole::store(std::vector<uint8_t>* literal) {
  if (literal->empty()) return;
  const size_t count = literal->size();
  put_in(HostInput::Kind::ConsoleBytes, std::exchange(*literal, {}), count);
}

// An input with a weight waits for the guest. A terminal is read even when no more may wait; its
// input is then lost.
void HostConsole::put_in(HostInput::Kind kind, std::vector<uint8_t> bytes, size_t weight) {
  if (weight != 0) {
    const std::lock_guard lock(mutex_);
    if (is_terminal_ && read_ahead_ >= config_.read_ahead_limit) return;
    read_ahead_ += weight;
  }
  config_.inbox->put({kind, config_.source, std::move(bytes)});
}

// Past the output buffer, which belongs to the vCPU thread.
void HostConsole::print_help(std::string_view text) {
  put_out({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

void HostConsole::take_escape(uint8_t byte, std::vector<uint8_t>& literal) {
  switch (byte) {
    case kEscapeKey:
    case 'a':
      literal.push_back(kEscapeKey);
      break;
    case 'x':
      ask_to_quit();
      break;
    case 'h':
      print_help(kHelp);
      if (config_.offers_prompt) print_help(kPromptHelp);
      break;
    case 'c':
      if (config_.offers_prompt) {
        store(&literal);  // input typed before it is delivered first
        put_in(HostInput::Kind::PromptKey, {}, 1);
        break;
      }
      [[fallthrough]];
    default:
      literal.push_back(kEscapeKey);
      literal.push_back(byte);
      break;
  }
}

}  // namespace ringshift
