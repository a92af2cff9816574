#include "devices/host_console.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>
#include <system_error>
#include <utility>

#include "shadowmmu/base/check.h"

namespace ringshift {
namespace {

constexpr uint8_t kEscapeKey = 0x01;  // Ctrl-A
constexpr size_t kOutputLimit = 16 * 1024;
// A reader that does not read for this long loses output rather than stopping the machine for ever.
constexpr int kOutputPatienceMilliseconds = 5000;
constexpr std::string_view kHelp =
    "\r\nCtrl-A h  this help\r\nCtrl-A x  quit\r\nCtrl-A a  send Ctrl-A to the guest\r\n";
constexpr std::string_view kPromptHelp = "Ctrl-A c  stop the guest and ask, or go on\r\n";

// What restore_terminal needs must outlive every object and be readable in a signal handler: the
// one place of this folder with static state. The descriptor is published last and taken first.
termios g_saved_modes;
std::atomic<int> g_raw_descriptor{-1};
static_assert(std::atomic<int>::is_always_lock_free);

}  // namespace

void restore_terminal() {
  const int saved_errno = errno;
  const int descriptor = g_raw_descriptor.exchange(-1);
  if (descriptor >= 0) {
    // In the background tcsetattr would stop us with SIGTTOU; POSIX lets it through when blocked.
    sigset_t block, before;
    sigemptyset(&block);
    sigaddset(&block, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &block, &before);
    tcsetattr(descriptor, TCSANOW, &g_saved_modes);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  errno = saved_errno;
}

HostConsole::HostConsole(HostConsoleConfig config) : config_(std::move(config)) {
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  CHECK(wake_ >= 0);
  enter_raw_mode();
  // Signals are for the vCPU thread; a new thread inherits the mask of its maker.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    reader_ = std::thread([this] { read_input(); });
  } catch (const std::system_error&) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (raw_) restore_terminal();
    close(wake_);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

HostConsole::~HostConsole() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  eventfd_write(wake_, 1);
  reader_.join();
  flush();
  if (raw_) restore_terminal();
  close(wake_);
}

void HostConsole::enter_raw_mode() {
  termios modes;
  if (isatty(config_.input) == 0 || tcgetattr(config_.input, &modes) != 0) return;
  if (g_raw_descriptor.load() >= 0) return;  // another console has the terminal
  g_saved_modes = modes;
  // Every key goes to the guest, Ctrl-C included; what we print is printed as it is.
  cfmakeraw(&modes);
  static const int registered = std::atexit([] { restore_terminal(); });
  CHECK(registered == 0);
  raw_ = true;
  g_raw_descriptor.store(config_.input);
  if (tcsetattr(config_.input, TCSANOW, &modes) != 0) restore_terminal();
}

void HostConsole::transmit(uint8_t byte) {
  if (output_buffer_.empty() && config_.on_held) config_.on_held();
  output_buffer_.push_back(byte);
  if (byte == '\n' || output_buffer_.size() >= kOutputLimit) flush();
}

void HostConsole::flush() {
  if (output_buffer_.empty()) return;
  write_all(output_buffer_);
  output_buffer_.clear();
}

void HostConsole::write_all(std::span<const uint8_t> bytes) {
  // A closed pipe must come back as EPIPE; the signal would end the machine.
  sigset_t pipe_signal, before;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
  while (!bytes.empty() && !output_broken_) {
    const ssize_t written = write(config_.output, bytes.data(), bytes.size());
    if (written > 0) {
      bytes = bytes.subspan(static_cast<size_t>(written));
    } else if (written < 0 && errno == EINTR) {
      continue;
    } else if (written < 0 && errno == EAGAIN) {
      pollfd ready{config_.output, POLLOUT, 0};
      if (poll(&ready, 1, kOutputPatienceMilliseconds) == 0) break;
    } else {
      output_broken_ = true;  // nobody listens any more; the guest runs on unheard
    }
  }
  if (output_broken_ && sigismember(&before, SIGPIPE) == 0) {
    const timespec at_once{};
    while (sigtimedwait(&pipe_signal, nullptr, &at_once) < 0 && errno == EINTR) {
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void HostConsole::deliver_input(const std::function<size_t(std::span<const uint8_t>)>& accept) {
  const std::lock_guard lock(mutex_);
  if (inbox_.empty()) return;
  const size_t taken = accept(inbox_);
  CHECK(taken <= inbox_.size());
  inbox_.erase(inbox_.begin(), inbox_.begin() + static_cast<ptrdiff_t>(taken));
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
  std::vector<uint8_t> taken = std::exchange(prompt_inbox_, {});
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
    std::vector<uint8_t>& inbox = prompt_open_ ? prompt_inbox_ : inbox_;
    inbox.insert(inbox.begin(), keys.begin(), keys.end());
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
  return waiting[1].revents != 0;
}

void HostConsole::read_input() {
  std::array<uint8_t, 1024> bytes;
  while (true) {
    bool listen = false;
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
      listen = !ended_ && inbox_.size() + prompt_inbox_.size() < config_.inbox_limit;
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

void HostConsole::note_end() {
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
    std::vector<uint8_t>& inbox = prompt_open_ ? prompt_inbox_ : inbox_;
    inbox.insert(inbox.end(), literal->begin(), literal->end());
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

void HostConsole::take_escape(uint8_t byte, std::vector<uint8_t>& literal) {
  switch (byte) {
    case kEscapeKey:
    case 'a':
      literal.push_back(kEscapeKey);
      break;
    case 'x':
      if (config_.on_quit) config_.on_quit();
      break;
    case 'h': {
      // Straight to the terminal: the output buffer belongs to the vCPU thread.
      const ssize_t ignored = write(config_.output, kHelp.data(), kHelp.size());
      static_cast<void>(ignored);
      if (config_.offers_prompt) {
        const ssize_t ignored_too = write(config_.output, kPromptHelp.data(), kPromptHelp.size());
        static_cast<void>(ignored_too);
      }
      break;
    }
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
