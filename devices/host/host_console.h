// HostConsole: the terminal (or pipe) that our own stdin and stdout are, as a serial backend. Owns:
// raw mode and its end, a thread that reads into the machine's inbox and one that writes, the
// output on its way and the input read ahead (both bounded). Ctrl-A is its escape. See
// docs/devices.md.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "devices/chips/serial_backend.h"
#include "devices/host/inbox.h"
#include "shadowmmu/base/host_thread.h"

namespace ringshift {

// Every key of this terminal is a byte from now on, Ctrl-C included, until restore_terminal() or
// the program's end. False: it is none, or another one is raw already.
[[nodiscard]] bool make_terminal_raw(int descriptor);
// Gives the terminal back the modes it had before HostConsole changed them. Does nothing if it did
// not. Safe to call at any time, from any thread, more than once.
void restore_terminal();  // async-signal-safe
// Call before and after a stop of this process: restores the terminal, and makes it raw again. Both
// async-signal-safe.
void suspend_terminal();
void resume_terminal();

struct HostConsoleConfig {
  int input = 0;  // file descriptors, not owned
  int output = 1;
  Inbox* inbox = nullptr;  // where input goes, and who is woken when is_full() changes
  uint8_t source = 0;      // the source that its input names
  // Reader thread: Ctrl-A x, or the terminal is gone. Quit is in the inbox already.
  std::function<void()> on_quit;
  // vCPU thread: called when output begins to be buffered. Call flush() soon: the guest may neither
  // end its line nor halt.
  std::function<void()> on_held;
  // Any thread: the run is to end. Output that nobody reads is not waited for then.
  std::function<bool()> is_ending;
  bool offers_prompt = false;  // Ctrl-A c is HostInput::Kind::PromptKey
  // Bytes read and not yet taken (input_taken): beyond it a pipe is not read. A terminal goes on
  // being read, for the escape key; other keys are lost.
  size_t read_ahead_limit = 1 << 20;
};

class HostConsole final : public SerialBackend {
 public:
  // Throws std::system_error when the host refuses a thread or a descriptor.
  explicit HostConsole(HostConsoleConfig config);
  ~HostConsole() override;
  HostConsole(const HostConsole&) = delete;
  HostConsole& operator=(const HostConsole&) = delete;

  // vCPU thread. Never waits. Buffered; handed to the writer at a newline, at 16 KiB, or by
  // flush(). If the guest prints on although the console is full, output is lost at last.
  void transmit(uint8_t byte) override;
  void flush();
  // True: nobody reads the output, so the guest should stand still until it is woken.
  [[nodiscard]] bool is_full();
  // Bytes that the terminal has not taken yet.
  [[nodiscard]] size_t unsent();
  [[nodiscard]] bool has_backlog();
  // Waits until all is written, or nobody will read it, or the run is to end anyway.
  void drain();
  // Output could not be written, which a line has said. A reader that has gone does not count.
  [[nodiscard]] bool lost_output();

  // vCPU thread: so many bytes that were put into the inbox have found their reader.
  void input_taken(size_t count);

 private:
  void enter_raw_mode();
  void read_input();
  [[nodiscard]] bool wait_for_input(bool listen);
  void note_end();
  void take_bytes(std::span<const uint8_t> bytes);
  void store(std::vector<uint8_t>* literal);
  void put_in(HostInput::Kind kind, std::vector<uint8_t> bytes, size_t weight);
  void take_escape(uint8_t byte, std::vector<uint8_t>& literal);
  void ask_to_quit();
  void print_help(std::string_view text);
  [[nodiscard]] bool may_listen();
  void start_threads();
  void stop_writer();
  void put_out(std::span<const uint8_t> bytes);
  void write_output();
  [[nodiscard]] bool write_all(std::span<const uint8_t> bytes);
  void note_written(bool good);
  void note_lost_output(int error);

  HostConsoleConfig config_;
  bool raw_ = false;
  bool is_terminal_ = false;
  bool output_is_terminal_ = false;
  bool escape_ = false;   // reader thread: Ctrl-A seen
  bool hung_up_ = false;  // reader thread
  bool ended_ = false;    // reader thread
  std::vector<uint8_t> output_buffer_;
  std::mutex mutex_;  // guards the two below
  size_t read_ahead_ = 0;
  bool reader_waits_for_room_ = false;
  std::mutex output_mutex_;  // guards the five below
  std::condition_variable output_changed_;
  std::vector<uint8_t> outbox_;
  size_t being_written_ = 0;
  bool room_is_wanted_ = false;
  bool output_broken_ = false;
  bool lost_output_ = false;
  HostThread reader_;
  HostThread writer_;
};

}  // namespace ringshift
