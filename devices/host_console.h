// HostConsole: the terminal (or pipe) that our own stdin and stdout are, as a serial backend.
// Owns: raw mode and its end, the reader thread, the inbox, the output buffer. Ctrl-A is its
// escape. Called by: uart16550 (transmit), monitor (take_input, flush); calls `notify` on the
// reader thread. See docs/devices.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "devices/serial_backend.h"

namespace ringshift {

// Gives the terminal back the modes it had before HostConsole changed them. Does nothing if it did
// not. Safe to call at any time, from any thread, more than once.
void restore_terminal();  // async-signal-safe

struct HostConsoleConfig {
  int input = 0;  // file descriptors, not owned
  int output = 1;
  // Both run on the reader thread and must only take note (set attention).
  std::function<void()> notify;   // there is input to take, or never will be again
  std::function<void()> on_quit;  // Ctrl-A x
  // vCPU thread: output is held back that was not; somebody has to flush() in a while, since the
  // guest may neither end its line nor sleep.
  std::function<void()> on_held;
  bool offers_prompt = false;      // Ctrl-A c; the prompt itself is take_prompt_input's caller's
  size_t inbox_limit = 64 * 1024;  // the reader waits when the guest does not take its input
};

class HostConsole final : public SerialBackend {
 public:
  // Throws std::system_error when the host refuses the thread that reads.
  explicit HostConsole(HostConsoleConfig config);
  ~HostConsole() override;
  HostConsole(const HostConsole&) = delete;
  HostConsole& operator=(const HostConsole&) = delete;

  // vCPU thread. Buffered; written at a newline, at 16 KiB, or by flush().
  void transmit(uint8_t byte) override;
  void flush();

  // vCPU thread: offers the waiting input to `accept`, which returns how much it took.
  void deliver_input(const std::function<size_t(std::span<const uint8_t>)>& accept);
  [[nodiscard]] bool has_input();
  // While the prompt is open what is typed is not the guest's. Ctrl-A c opens and closes it (and
  // notifies); so does the vCPU thread.
  [[nodiscard]] bool prompt_is_open();
  void set_prompt_open(bool open);
  // The prompt comes before the guest: what has been typed already is for it too.
  void begin_at_prompt();
  [[nodiscard]] std::vector<uint8_t> take_prompt_input();
  [[nodiscard]] bool has_prompt_input();
  // What the prompt has not used: for whoever gets the keys now.
  void put_back(std::span<const uint8_t> keys);
  // No more input will come: end of file, or an error on the descriptor.
  [[nodiscard]] bool input_ended();

 private:
  void enter_raw_mode();
  void read_input();
  [[nodiscard]] bool wait_for_input(bool listen);
  void note_end();
  void take_bytes(std::span<const uint8_t> bytes);
  void store(std::vector<uint8_t>* literal);
  void take_escape(uint8_t byte, std::vector<uint8_t>& literal);
  void toggle_prompt(std::vector<uint8_t>& literal);
  void room_has_been_made();
  void write_all(std::span<const uint8_t> bytes);

  HostConsoleConfig config_;
  int wake_ = -1;  // eventfd: stop, or the inbox has room again
  bool raw_ = false;
  bool output_broken_ = false;
  bool escape_ = false;  // reader thread: Ctrl-A seen
  std::vector<uint8_t> output_buffer_;
  std::mutex mutex_;  // guards the six below
  std::vector<uint8_t> inbox_;
  std::vector<uint8_t> prompt_inbox_;
  bool prompt_open_ = false;
  bool stopping_ = false;
  bool ended_ = false;
  bool reader_waits_for_room_ = false;
  std::thread reader_;
};

}  // namespace ringshift
