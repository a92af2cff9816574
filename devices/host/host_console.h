// HostConsole: the terminal (or pipe) that our own stdin and stdout are, as a serial backend.
// Owns: raw mode and its end, a thread that reads and one that writes, the inbox, the output on its
// way (all bounded). Ctrl-A is its escape. Called by: uart16550 (transmit), monitor (take_input,
// flush); calls `notify` on its threads. See docs/devices.md.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "devices/chips/serial_backend.h"
#include "devices/host/byte_queue.h"

namespace ringshift {

// Gives the terminal back the modes it had before HostConsole changed them. Does nothing if it did
// not. Safe to call at any time, from any thread, more than once.
void restore_terminal();  // async-signal-safe
// Around a stop of this process: the same, and raw again. Both async-signal-safe.
void suspend_terminal();
void resume_terminal();

struct HostConsoleConfig {
  int input = 0;  // file descriptors, not owned
  int output = 1;
  // Both run on our threads and must only take note (set attention).
  std::function<void()> notify;   // there is input to take, or never will be again; is_full()
  std::function<void()> on_quit;  // Ctrl-A x
  // vCPU thread: output is held back that was not; somebody has to flush() in a while, since the
  // guest may neither end its line nor sleep.
  std::function<void()> on_held;
  // Any thread: the run is to end. Output that nobody reads is not waited for then.
  std::function<bool()> is_ending;
  bool offers_prompt = false;  // Ctrl-A c; the prompt itself is take_prompt_input's caller's
  // Beyond it a pipe is not read until the guest takes its input. A terminal goes on being read,
  // for the escape key; other keys are lost.
  size_t inbox_limit = 1 << 20;
};

class HostConsole final : public SerialBackend {
 public:
  // Throws std::system_error when the host refuses a thread or a descriptor.
  explicit HostConsole(HostConsoleConfig config);
  ~HostConsole() override;
  HostConsole(const HostConsole&) = delete;
  HostConsole& operator=(const HostConsole&) = delete;

  // vCPU thread. Never waits. Buffered; handed to the writer at a newline, at 16 KiB, or by
  // flush(). Who goes on although the console is full loses output at last.
  void transmit(uint8_t byte) override;
  void flush();
  // Nobody reads what has been written so far: the guest should stand still until notify().
  [[nodiscard]] bool is_full();
  [[nodiscard]] bool has_backlog();
  // Waits until all is written, or nobody will read it, or the run is to end anyway.
  void drain();
  // Output could not be written, which a line has said. A reader that has gone does not count.
  [[nodiscard]] bool lost_output();

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
  void print_help(std::string_view text);
  void room_has_been_made();
  void start_threads();
  void stop_reader();
  void stop_writer();
  void put_out(std::span<const uint8_t> bytes);
  void write_output();
  [[nodiscard]] bool write_all(std::span<const uint8_t> bytes);
  [[nodiscard]] bool may_write();
  void note_written(bool good);
  void note_lost_output(int error);

  HostConsoleConfig config_;
  int wake_ = -1;  // eventfd: stop, or the inbox has room again
  bool raw_ = false;
  bool is_terminal_ = false;
  bool escape_ = false;   // reader thread: Ctrl-A seen
  bool hung_up_ = false;  // reader thread
  std::vector<uint8_t> output_buffer_;
  std::mutex mutex_;  // guards the six below
  ByteQueue inbox_;
  ByteQueue prompt_inbox_;
  bool prompt_open_ = false;
  bool stopping_ = false;
  bool ended_ = false;
  bool reader_waits_for_room_ = false;
  bool output_is_terminal_ = false;
  std::mutex output_mutex_;  // guards the seven below
  std::condition_variable output_changed_;
  std::vector<uint8_t> outbox_;
  size_t being_written_ = 0;
  bool room_is_wanted_ = false;
  bool output_broken_ = false;
  bool lost_output_ = false;
  bool writer_stops_ = false;
  bool writer_has_ended_ = false;
  std::atomic<bool> reader_has_ended_{false};
  std::thread reader_;
  std::thread writer_;
};

}  // namespace ringshift
