// GuestFiles: the guest's half of a shared folder's port. The device's view of it depends on the
// device itself and on the inputs given to it (HostInput), and on nothing else: so a tape of those
// is a recording of the folder. By itself it is the folder of a replay: the guest's requests are
// dropped, and the answers are the tape's. Owns: the answers that wait for the guest. vCPU thread
// only. See docs/sharing.md.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "devices/host/byte_queue.h"
#include "devices/host/inbox.h"
#include "devices/virtio/file_port.h"
#include "monitor/share/file_tags.h"

namespace ringshift {

class GuestFiles : public FilePort {
 public:
  [[nodiscard]] bool is_up() const override { return is_up_; }
  // Without a tag an answer is waited for, which comes anyway.
  [[nodiscard]] bool has_room() const override {
    return tags_.has_free() && outgoing_ < kMostOutgoing;
  }
  [[nodiscard]] uint16_t free_tag() const override { return tags_.free(); }
  void send(std::span<const uint8_t> message) override;
  [[nodiscard]] std::span<const uint8_t> received() const override;
  void take_received() override;
  void give_up(uint16_t tag) override { tags_.give_up(tag); }
  void set_on_change(std::function<void()> on_change) override {
    on_change_ = std::move(on_change);
  }
  // One of the folder's kinds. Pre: is_sound().
  void take_in(const HostInput& input);
  // True: the server holds state of the mounted folder that cannot be saved.
  [[nodiscard]] bool is_mounted() const { return tags_.is_mounted(); }
  // True: requests are on their way, perhaps of a guest before this one.
  [[nodiscard]] bool has_requests() const { return tags_.are_used(); }
  // A hash of all requests that the guest has sent, in their order.
  [[nodiscard]] uint64_t sent_hash() const { return sent_hash_; }

  // For a replay that goes back.
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

  // Bytes that wait for the server, and for the guest: as many, and one message more.
  static constexpr size_t kMostOutgoing = size_t{512} << 10, kMostReceived = size_t{512} << 10;

  // Inputs: answers, each whole; how many bytes of requests have left (4 bytes, the lowest first);
  // the server has gone.
  [[nodiscard]] static HostInput answers_input(std::vector<uint8_t> messages);
  [[nodiscard]] static HostInput room_input(uint32_t bytes);
  [[nodiscard]] static HostInput end_input();
  // For one of the folder's kinds that comes from a tape: true if its bytes are such as these
  // functions make.
  [[nodiscard]] static bool is_sound(const HostInput& input);

 protected:
  [[nodiscard]] FileTags& tags() { return tags_; }
  // Answers that no device sees any more: their tags are free.
  void drop_answers(std::span<const uint8_t> messages);
  virtual void on_sent(std::span<const uint8_t> /*message*/) {}
  virtual void on_taken(size_t /*bytes*/) {}

 private:
  std::function<void()> on_change_;
  FileTags tags_;
  ByteQueue received_;
  size_t outgoing_ = 0;  // sent, and not yet told to have left
  bool is_up_ = true;    // until it is told
  uint64_t sent_hash_ = 0;
};

}  // namespace ringshift
