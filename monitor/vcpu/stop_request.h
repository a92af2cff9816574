// StopRequest: that the machine is to stop, and why. Owns: the reason that stands, and one line on
// it. The first reason given stands. request() is for any thread, and takes effect before the next
// guest instruction once attention is raised.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

namespace ringshift {

// Why the loop gave up; the machine turns it into an exit code and one line.
enum class StopReason : uint8_t {
  Running,        // it has not
  Halted,         // HLT with interrupts off and nothing that could end it: power-off
  Reset,          // triple fault, keyboard controller, port 0x92
  DebugExit,      // port 0xf4
  Quit,           // the user asked for it
  Saved,          // it has been written to a file, and is to end here
  Migrated,       // another process has it
  Unimplemented,  // an instruction or feature we do not have: message
  HostFailure,    // the host took something away that cannot be done without: message
  InTwo,          // a migration has left it whole on neither side: message
  Panicked,       // the guest's kernel says that it has panicked
};

class StopRequest {
 public:
  void request(StopReason reason) {
    StopReason none = StopReason::Running;
    reason_.compare_exchange_strong(none, reason);
  }
  // vCPU thread. message: one line for the user.
  void request(StopReason reason, std::string message) {
    message_ = std::move(message);
    request(reason);
  }
  // The guest need not stop after all.
  void withdraw() { reason_.store(StopReason::Running); }
  [[nodiscard]] StopReason reason() const { return reason_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool is_wanted() const { return reason() != StopReason::Running; }
  [[nodiscard]] const std::string& message() const { return message_; }

 private:
  std::atomic<StopReason> reason_{StopReason::Running};
  std::string message_;
};

}  // namespace ringshift
