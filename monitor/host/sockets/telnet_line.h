// TelnetLine: one peer's side of the Telnet protocol (RFC 854): answers the peer's protocol bytes,
// and hands on those for the guest. The guest echoes, and every key is a byte. Owns: the parser.
// See docs/usage.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

struct telnet_t;

namespace ringshift {

class TelnetLine {
 public:
  // send: takes bytes for the peer; it is called from inside of the functions below.
  explicit TelnetLine(std::function<void(std::string_view)> send);
  ~TelnetLine();
  TelnetLine(const TelnetLine&) = delete;
  TelnetLine& operator=(const TelnetLine&) = delete;

  // Bytes from the peer; returns those that are for the guest. Sequences that make no sense are
  // passed over.
  [[nodiscard]] std::vector<uint8_t> take(std::span<const uint8_t> bytes);
  // Bytes of the guest's.
  void put(std::string_view bytes);

  // Callbacks of libtelnet.
  void on_data(std::span<const uint8_t> bytes);
  void on_send(std::string_view bytes) { send_(bytes); }
  void on_binary(bool is_binary) { is_binary_ = is_binary; }

 private:
  std::function<void(std::string_view)> send_;
  std::vector<uint8_t> data_;
  bool is_binary_ = false;  // the peer's bytes are as they are (RFC 856)
  bool after_return_ = false;
  telnet_t* parser_;
};

}  // namespace ringshift
