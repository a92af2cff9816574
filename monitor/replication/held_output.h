// HeldOutput: a guest's output that nobody outside has been shown: it waits until the backup knows
// its cause, or, in the backup, until the primary says that it has left there. Owns: the bytes that
// wait, per port. vCPU thread only. See docs/replication.md, "Output".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "devices/chips/serial_backend.h"
#include "devices/host/byte_queue.h"

namespace ringshift {

class HeldOutput {
 public:
  enum Port : uint8_t { Serial, SecondSerial, DebugConsole, VirtioConsole, Network };
  static constexpr size_t kPorts = 5;
  // Bytes that have come to each port since the first life began.
  using Totals = std::array<uint64_t, kPorts>;
  using Sink = std::function<void(std::span<const uint8_t>)>;

  HeldOutput();
  HeldOutput(const HeldOutput&) = delete;
  HeldOutput& operator=(const HeldOutput&) = delete;

  // Bytes that have been given to a sink, and that nobody would be shown if the process ended now.
  using Unsent = std::function<size_t()>;
  // Sets the port's way out, around one life of the guest; nothing: output that may leave is lost.
  void set_sink(Port port, Sink sink, Unsent unsent = {}) {
    ports_.at(port).sink = std::move(sink);
    ports_.at(port).unsent = std::move(unsent);
  }
  // Called when several bytes have been given to sinks.
  void set_flush(std::function<void()> flush) { flush_ = std::move(flush); }
  // Called when something begins to wait.
  void set_on_held(std::function<void()> on_held) { on_held_ = std::move(on_held); }
  // The same port for a device.
  [[nodiscard]] SerialBackend* device_end(Port port) { return &ports_.at(port); }
  void put(Port port, std::span<const uint8_t> bytes);

  [[nodiscard]] Totals come() const;
  [[nodiscard]] Totals left() const;
  // The part of left() that nothing can take back from the outside any more.
  [[nodiscard]] Totals shown() const;
  [[nodiscard]] size_t waiting() const { return waiting_; }
  [[nodiscard]] size_t waiting_of(Port port) const { return ports_.at(port).waiting.size(); }
  // Output up to `up_to` may leave. True: some has left.
  bool release(const Totals& up_to);
  // Drops output that has left by the primary, which may be ahead of this machine.
  void forget(const Totals& up_to);
  // All leaves, now and from here on.
  void open();
  // Output from here on waits again.
  void close() { is_open_ = false; }
  // The guest has sent so much already, by another machine. Pre: nothing has come.
  void begin_at(const Totals& totals);
  [[nodiscard]] bool is_open() const { return is_open_; }

 private:
  struct End final : SerialBackend {
    void transmit(uint8_t byte) override { owner->put(port, {&byte, 1}); }
    HeldOutput* owner = nullptr;
    Port port = Serial;
    Sink sink;
    Unsent unsent;
    ByteQueue waiting;
    uint64_t come = 0, left = 0;  // left: come - waiting
    uint64_t gone = 0;            // by the primary
  };
  void leave(End& end, size_t count, bool is_shown);

  std::array<End, kPorts> ports_;
  std::function<void()> flush_, on_held_;
  size_t waiting_ = 0;
  bool is_open_ = false;
};

}  // namespace ringshift
