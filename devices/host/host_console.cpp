#include "devices/host/host_console.h"

#include <poll.h>
#include <sys/eventfd.h>
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
#include "shadowmmu/base/interruption.h"

namespace ringshift {
namespace {

constexpr uint8_t kEscapeKey = 0x01;  // Ctrl-A
constexpr size_t kOutputLimit = 16 * 1024;
// What waits to be written: the guest stands still beyond the first, whoever prints all the same
// loses output beyond the second.
constexpr size_t kOutboxFull = 64 * 1024, kOutboxLimit = 1 << 20;
// When the run is to end: how long a reader that still reads gets for the rest.
constexpr std::chrono::milliseconds kFarewell{80}, kLook{10};
constexpr std::string_view kHelp =
    "\r\nCtrl-A h  this help\r\nCtrl-A x  quit\r\nCtrl-A a  send Ctrl-A to the guest\r\n";
constexpr std::string_view kPromptHelp = "Ctrl-A c  stop the guest and ask, or go on\r\n";

// What restore_terminal needs must outlive every object and be readable in a signal handler: the
// one place of this folder with static state. The descriptor is published last and taken first.
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
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_ < 0 || !install_interruption()) {
    throw std::system_error(errno, std::generic_category(), "eventfd");
  }
  // Asked now: a terminal that has been hung up does not say that it is one.
  output_is_terminal_ = isatty(config_.output) != 0;
  enter_raw_mode();
  try {
    start_threads();
  } catch (const std::system_error&) {
    stop_writer();
    if (raw_) restore_terminal();
    close(wake_);
    throw;
  }
}

void HostConsole::start_threads() {
  const QuietThreads quiet;
  writer_ = std::thread([this] { write_output(); });
  reader_ = std::thread([this] {
    allow_interruption();
    read_input();
    reader_has_ended_.store(true);
  });
}

HostConsole::~HostConsole() {
  drain();  // the escape key still works
  stop_reader();
  stop_writer();
  if (raw_) restore_terminal();
  close(wake_);
}

void HostConsole::stop_reader() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  eventfd_write(wake_, 1);
  // It may be inside a read of what another process has taken before it.
  while (!reader_has_ended_.load()) {
    pthread_kill(reader_.native_handle(), interruption_signal());
    (void)poll(nullptr, 0, 1);
  }
  reader_.join();
}

void HostConsole::enter_raw_mode() {
  is_terminal_ = isatty(config_.input) != 0;
  termios modes;
  if (!is_terminal_ || tcgetattr(config_.input, &modes) != 0) return;
  if (g_raw_descriptor.load() >= 0) return;  // another console has the terminal
  g_saved_modes = modes;
  // Every key goes to the guest, Ctrl-C included; what we print is printed as it is.
  cfmakeraw(&modes);
  g_raw_modes = modes;
  static const int registered = std::atexit([] { restore_terminal(); });
  CHECK(registered == 0);
  raw_ = true;
  g_raw_descriptor.store(config_.input);
  if (tcsetattr(config_.input, TCSANOW, &modes) != 0) restore_terminal();
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
  if (is_full() && config_.notify) config_.notify();
}

bool HostConsole::is_full() {
  const std::lock_guard lock(output_mutex_);
  room_is_wanted_ = !output_broken_ && outbox_.size() + being_written_ >= kOutboxFull;
  return room_is_wanted_;
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
  if (!writer_.joinable()) return;
  std::unique_lock lock(output_mutex_);
  writer_stops_ = true;
  output_changed_.notify_all();
  // It may be inside a write that nobody will ever let through.
  while (!writer_has_ended_) {
    pthread_kill(writer_.native_handle(), interruption_signal());
    output_changed_.wait_for(lock, kLook);
  }
  lock.unlock();
  writer_.join();
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
  allow_interruption();
  std::unique_lock lock(output_mutex_);
  while (true) {
    output_changed_.wait(lock, [this] { return writer_stops_ || !outbox_.empty(); });
    if (writer_stops_) break;
    const std::vector<uint8_t> bytes = std::exchange(outbox_, {});
    being_written_ = bytes.size();
    lock.unlock();
    const bool good = write_all(bytes);
    lock.lock();
    note_written(good);
  }
  writer_has_ended_ = true;
  output_changed_.notify_all();
}

// Pre: output_mutex_ is held.
void HostConsole::note_written(bool good) {
  being_written_ = 0;
  if (!good) {
    output_broken_ = true;
    outbox_.clear();
  }
  if (std::exchange(room_is_wanted_, false) && config_.notify) config_.notify();
  output_changed_.notify_all();
}

bool HostConsole::may_write() {
  const std::lock_guard lock(output_mutex_);
  return !writer_stops_;
}

// False: nothing can be written any more. A closed pipe comes back as EPIPE: this thread takes no
// signals.
bool HostConsole::write_all(std::span<const uint8_t> bytes) {
  while (!bytes.empty() && may_write()) {
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

// ---- input ----

void HostConsole::deliver_input(const std::function<size_t(std::span<const uint8_t>)>& accept) {
  const std::lock_guard lock(mutex_);
  if (inbox_.empty()) return;
  const size_t taken = accept(inbox_.waiting());
  CHECK(taken <= inbox_.size());
  inbox_.drop(taken);
  room_has_been_made();
}

// Pre: the mutex is held.
void HostConsole::room_has_been_made() {
  if (!reader_waits_for_room_ || inbox_.size() + prompt_inbox_.size() >= config_.inbox_limit)
    return;
  reader_waits_for_room_ = false;
  eventfd_write(wake_, 1);
}

bool HostConsole::prompt_is_open() {
  const std::lock_guard lock(mutex_);
  return prompt_open_;
}

void HostConsole::set_prompt_open(bool open) {
  const std::lock_guard lock(mutex_);
  prompt_open_ = open && config_.offers_prompt;
}

void HostConsole::begin_at_prompt() {
  const std::lock_guard lock(mutex_);
  if (!config_.offers_prompt) return;
  prompt_open_ = true;
  prompt_inbox_ = std::exchange(inbox_, {});
}

bool HostConsole::has_prompt_input() {
  const std::lock_guard lock(mutex_);
  return !prompt_inbox_.empty();
}

std::vector<uint8_t> HostConsole::take_prompt_input() {
  const std::lock_guard lock(mutex_);
  std::vector<uint8_t> taken = prompt_inbox_.take_all();
  room_has_been_made();
  return taken;
}

bool HostConsole::has_input() {
  const std::lock_guard lock(mutex_);
  return !inbox_.empty();
}

void HostConsole::put_back(std::span<const uint8_t> keys) {
  if (keys.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    (prompt_open_ ? prompt_inbox_ : inbox_).put_back(keys);
  }
  if (config_.notify) config_.notify();
}

bool HostConsole::input_ended() {
  const std::lock_guard lock(mutex_);
  return ended_;
}

bool HostConsole::wait_for_input(bool listen) {
  pollfd waiting[2] = {{wake_, POLLIN, 0}, {listen ? config_.input : -1, POLLIN, 0}};
  if (poll(waiting, 2, -1) < 0) return false;
  if ((waiting[0].revents & POLLIN) != 0) {
    eventfd_t ignored = 0;
    eventfd_read(wake_, &ignored);
  }
  hung_up_ = (waiting[1].revents & POLLHUP) != 0;
  return waiting[1].revents != 0;
}

void HostConsole::read_input() {
  std::array<uint8_t, 1024> bytes;
  while (true) {
    bool listen = false;
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
      const bool has_room = inbox_.size() + prompt_inbox_.size() < config_.inbox_limit;
      listen = !ended_ && (has_room || is_terminal_);
      reader_waits_for_room_ = !listen;
    }
    if (!wait_for_input(listen)) continue;
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
  if (is_terminal_ && hung_up_ && config_.on_quit) config_.on_quit();
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  if (config_.notify) config_.notify();
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
  {
    const std::lock_guard lock(mutex_);
    const bool is_lost =
        is_terminal_ && inbox_.size() + prompt_inbox_.size() >= config_.inbox_limit;
    if (!is_lost) (prompt_open_ ? prompt_inbox_ : inbox_).append(*literal);
  }
  literal->clear();
  if (config_.notify) config_.notify();
}

// What was typed before it goes where it belongs.
void HostConsole::toggle_prompt(std::vector<uint8_t>& literal) {
  store(&literal);
  {
    const std::lock_guard lock(mutex_);
    prompt_open_ = !prompt_open_;
  }
  if (config_.notify) config_.notify();
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
      if (config_.on_quit) config_.on_quit();
      break;
    case 'h':
      print_help(kHelp);
      if (config_.offers_prompt) print_help(kPromptHelp);
      break;
    case 'c':
      if (config_.offers_prompt) {
        toggle_prompt(literal);
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
