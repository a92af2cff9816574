// ConsoleInlet: a console's input on the vCPU's side of the inbox: bytes for the guest, and bytes
// for the prompt while that is open. Owns: both queues; the console bounds its bytes. vCPU thread
// only. See docs/devices.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

#include "devices/host/byte_queue.h"
#include "devices/host/inbox.h"

namespace ringshift {

class StateArchive;

class ConsoleInlet {
 public:
  // Offered bytes; returns how many of them it took, from the front.
  using Accept = std::function<size_t(std::span<const uint8_t>)>;

  // `on_taken` hears how many of the bytes have found their reader: the console may send so many
  // more.
  explicit ConsoleInlet(std::function<void(size_t)> on_taken) : on_taken_(std::move(on_taken)) {}

  // Pre: it is of a console.
  void put(const HostInput& input);

  // ---- the guest's ----
  void deliver(const Accept& accept) { offer(guest_, accept); }
  [[nodiscard]] bool has_input() const { return !guest_.empty(); }
  // No more input will come: end of file, or an error on the descriptor.
  [[nodiscard]] bool has_ended() const { return ended_; }

  // The bytes that wait for the guest; for a replay, which has no prompt.
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

  // ---- the prompt's ---- While it is open typed keys are not the guest's. Ctrl-A c opens and
  // closes it; so does the program that runs it.
  [[nodiscard]] bool prompt_is_open() const { return prompt_is_open_; }
  void set_prompt_open(bool open) { prompt_is_open_ = open; }
  // The prompt comes before the guest: keys typed already are for it too.
  void begin_at_prompt();
  void deliver_to_prompt(const Accept& accept) { offer(prompt_, accept); }
  [[nodiscard]] bool has_prompt_input() const { return !prompt_.empty(); }
  // The guest gets the bytes that the prompt has left.
  void leave_rest_to_guest();

 private:
  void offer(ByteQueue& queue, const Accept& accept);

  // Not state: prompt_, prompt_is_open_: they are the host's.
  std::function<void(size_t)> on_taken_;
  ByteQueue guest_;
  ByteQueue prompt_;
  bool prompt_is_open_ = false;
  bool ended_ = false;
};

}  // namespace ringshift
