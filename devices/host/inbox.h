// Inbox: the one door by which a machine's inputs from the host come in. Threads of ours put an
// input in as it comes; the vCPU takes it out at a safe point, in the order of their coming, and
// only then does the guest get to know of it. Owns: the inputs that wait. The thread that puts in
// bytes bounds them. Keeps: V4. See docs/decisions/0015-one-inbox.md.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace ringshift {

struct HostInput {
  enum class Kind : uint8_t {
    // Wishes: each is there once, however often it is put in before it is taken.
    Quit,         // the end of the run
    Report,       // the statistics as they are
    Save,         // the machine in a file
    RamFile,      // the file that RAM is shared from is not as it should be
    Debugger,     // its socket has something
    Reset,        // the machine begins again
    PowerButton,  // is pressed
    Figures,      // how it does, for a page that shows it
    Screen,       // a picture of the screen, for its viewers
    Control,      // a control program's socket has
    Migration,    // the thread that moves or clones the machine has news
    // Input from a console; `source` says which.
    ConsoleBytes,
    PromptKey,   // Ctrl-A c
    ConsoleEnd,  // nothing will come from it any more
    // Input from a remote screen; `source` says which.
    Keys,    // one key's codes, scan code set 2
    Motion,  // of the mouse: bytes_of_motion
    // Inputs of the network (monitor/network/guest_packets.h).
    NetworkRoom,    // frames have left
    NetworkLink,    // there is somebody at its other end now, or nobody any more
    NetworkFrames,  // each with its length in front (monitor/network/frame_stream.h)
    // Inputs of a shared folder (monitor/share/guest_files.h).
    ShareMessages,  // answers of its server, each whole (9P)
    ShareRoom,      // requests have left
    ShareEnd,       // the server has gone
  };
  Kind kind = Kind::Quit;
  uint8_t source = 0;
  std::vector<uint8_t> bytes;  // ConsoleBytes, Keys, Motion, the network's, the folder's
};

class Inbox {
 public:
  // `wake` brings the vCPU to its safe point. It is called on any thread, also under others' locks,
  // and must only take note.
  explicit Inbox(std::function<void()> wake) : wake_(std::move(wake)) {}
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  // Any thread.
  void put(HostInput input) {
    {
      const std::lock_guard lock(mutex_);
      if (!is_news(input.kind)) return;
      waiting_.push_back(std::move(input));
    }
    wake_();
  }
  // Any thread: nothing to take, but the vCPU should look around.
  void wake() { wake_(); }

  // vCPU thread: all that waits, oldest first.
  [[nodiscard]] std::vector<HostInput> take() {
    const std::lock_guard lock(mutex_);
    said_ = 0;
    return std::exchange(waiting_, {});
  }

 private:
  // Pre: the mutex is held.
  [[nodiscard]] bool is_news(HostInput::Kind kind) {
    if (kind >= HostInput::Kind::ConsoleBytes) return true;
    const uint32_t bit = 1U << static_cast<uint32_t>(kind);
    return (std::exchange(said_, said_ | bit) & bit) == 0;
  }

  std::function<void()> wake_;
  std::mutex mutex_;  // guards the two below
  std::vector<HostInput> waiting_;
  uint32_t said_ = 0;  // which of the kinds that count once are among it: a bit each
};

}  // namespace ringshift
