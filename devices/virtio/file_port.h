// FilePort: the way of a guest's 9P requests to a file server outside, and of the answers back. A
// side that has no room says so, and the other one keeps its messages. All of it happens on the
// virtual CPU's thread. Implemented by: monitor/share/share_port.h, tests. See docs/sharing.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace ringshift {

// A message of 9P begins with its length (four bytes, its own included), its type and its tag (two
// bytes), all little-endian (intro(5) of Plan 9; 9P2000.L).
inline constexpr size_t kFileHeader = 7, kFileTypeAt = 4, kFileTagAt = 5;
// No message is longer, in either direction: twice the size that the server agrees to.
inline constexpr size_t kMostFileMessage = size_t{128} << 10;

class FilePort {
 public:
  virtual ~FilePort() = default;
  // Is the server there? Once it has gone it does not come back, and nothing is answered any more.
  [[nodiscard]] virtual bool is_up() const = 0;
  // May a request be sent now? If not, on_change is called when one may.
  [[nodiscard]] virtual bool has_room() const = 0;
  // A tag that no request on its way has, those of a driver from before a reset included. Pre:
  // has_room().
  [[nodiscard]] virtual uint16_t free_tag() const = 0;
  // A whole request, with a free_tag(). Pre: has_room(), and it is no longer than
  // kMostFileMessage.
  virtual void send(std::span<const uint8_t> message) = 0;
  // The answer that has come first, whole, which stays until it is taken; empty: there is none.
  [[nodiscard]] virtual std::span<const uint8_t> received() const = 0;
  virtual void take_received() = 0;
  // The server has said that it never answers the request with this tag.
  virtual void give_up(uint16_t tag) = 0;
  // on_change is called when there is room again, when answers have come, and when the server has
  // gone. Set once, before the guest runs.
  virtual void set_on_change(std::function<void()> on_change) = 0;
};

}  // namespace ringshift
