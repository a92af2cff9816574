// Virtio9p: a folder of the host's: a queue of 9P requests, each answered in the chain it came in.
// Nothing of 9P is served here: tags are changed, so that no answer meets another request than its
// own, and lengths are looked at. Does not own: the port to the server. See docs/sharing.md; VIRTIO
// 1.2, 5.12 names the device, Linux's net/9p/trans_virtio.c the rest.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "devices/virtio/file_port.h"
#include "devices/virtio/virtio_device.h"

namespace ringshift {

class StateArchive;

class Virtio9p final : public VirtioDevice {
 public:
  // tag: the name that a guest mounts it by. Pre: kLongestTag characters at most, and one at least.
  Virtio9p(FilePort& port, std::string tag);
  static constexpr size_t kLongestTag = 31;

  [[nodiscard]] VirtioKind kind() const override;
  [[nodiscard]] uint8_t config_byte(unsigned offset) const override;
  void reset() override { pending_.clear(); }
  void forget(unsigned) override { pending_.clear(); }
  [[nodiscard]] Served serve(unsigned queue) override;

  // Requests on their way are the device's. The server's state for a guest is not ours to write
  // down, so a machine with the folder mounted is not saved (Machine::save).
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive) override;

 private:
  // A request on its way, by the tag that the server knows it by.
  struct Request {
    uint16_t head = 0;
    uint16_t guest_tag = 0;
    GuestBuffer answer;
    uint16_t flushes = kNone;  // the tag of the request that this one calls off
  };
  static constexpr uint16_t kNone = 0xffff;

  [[nodiscard]] bool deliver();
  [[nodiscard]] bool take_request();
  [[nodiscard]] bool forward(uint16_t guest_tag);
  [[nodiscard]] bool answer(Request& request, std::span<const uint8_t> message);
  void refuse(Request& request, uint32_t error);
  void fail_all();
  void finish_flushed(uint16_t tag);
  [[nodiscard]] uint16_t tag_at_server(uint16_t guest_tag) const;

  // Not state: chain_, message_: kept for their room.
  FilePort& port_;
  std::string tag_;
  std::map<uint16_t, Request> pending_;  // no more than the queue has chains
  DescriptorChain chain_;
  std::vector<uint8_t> message_;
};

}  // namespace ringshift
