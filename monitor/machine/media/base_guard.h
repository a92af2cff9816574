// BaseGuard: watches over the file that a resumed machine's RAM is shared from: that its bytes are
// those that were saved, and that nobody changes it while the guest runs. Owns: a thread for that.
// Does not own: the file. See docs/saved-state.md, "The file while it is in use".
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>

#include "monitor/machine/media/snapshot.h"
#include "shadowmmu/base/host_thread.h"

namespace ringshift {

// When the bytes of RAM in a saved machine's file are compared with their hashes.
enum class VerifyRam : uint8_t {
  First,  // before the first instruction
  Later,  // while the guest runs, and before anything is made of it: its end, another file
  Off,    // never
};

class BaseGuard {
 public:
  // on_problem: called on the thread, once; problem() has the text.
  BaseGuard(int descriptor, SavedRam ram, std::function<void()> on_problem);
  ~BaseGuard() { thread_.join(); }
  BaseGuard(const BaseGuard&) = delete;
  BaseGuard& operator=(const BaseGuard&) = delete;

  // Compares at once, if it is to be First, and watches from now on. False with one line in *error:
  // the file is damaged, or the end of the run has been asked for. Throws as HostThread::start.
  [[nodiscard]] bool begin(VerifyRam when, std::string* error);
  // Waits until all has been compared that is to be. False with one line in *error: the file is
  // damaged or was changed, or the end of the run has been asked for.
  [[nodiscard]] bool finish(std::string* error);
  // Any thread. One line; empty: none is known.
  [[nodiscard]] std::string problem() const;

 private:
  [[nodiscard]] bool is_as_it_was() const;
  void watch(bool verify);
  [[nodiscard]] bool compare_all();
  void note(bool is_compared, std::string problem);

  int descriptor_;
  SavedRam ram_;
  std::function<void()> on_problem_;
  struct stat before_ {};
  mutable std::mutex mutex_;  // guards the two below
  std::string problem_;
  bool is_compared_ = false;
  std::condition_variable noted_;
  HostThread thread_;
};

}  // namespace ringshift
