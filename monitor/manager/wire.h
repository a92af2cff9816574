// Wire: one end of a stream socket between a manager, a keeper, a machine and a client: bytes or
// JSON texts, without ever waiting. Owns: the socket, the bytes received and those to be sent, both
// bounded: a peer that sends without end is not read on, and one that does not read loses the
// connection. See docs/machines.md.
#pragma once

#include <poll.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "monitor/control/json_value.h"
#include "monitor/control/message_reader.h"

namespace ringshift::manager {

class Wire {
 public:
  Wire() = default;
  explicit Wire(int socket) : socket_(socket) {}
  ~Wire() { close(); }
  Wire(Wire&& other) noexcept { *this = std::move(other); }
  Wire& operator=(Wire&& other) noexcept;
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // Connects; is_open() is false if nobody listens there.
  [[nodiscard]] static Wire to(const std::string& path);

  [[nodiscard]] bool is_open() const { return socket_ >= 0; }
  // Nothing more will come: the other end has gone, or will send no more.
  [[nodiscard]] bool has_ended() const { return ended_; }
  // True: nobody will read sent bytes.
  [[nodiscard]] bool has_gone() const { return gone_; }
  void close();

  // The descriptor and events for poll(), which passes over an end that nothing is expected of.
  [[nodiscard]] pollfd waiting_for() const;
  // After the wait: reads and writes as much as the socket takes.
  void serve(short events);

  void send(std::string_view bytes);
  void say(const control::JsonValue& value) { send(value.text() + "\n"); }
  [[nodiscard]] bool has_output() const { return !outgoing_.empty(); }

  // The next JSON text that has come. One that is none ends the connection.
  [[nodiscard]] std::optional<control::JsonValue> take_message();
  // All that has come, as bytes.
  [[nodiscard]] std::string take_bytes() { return std::exchange(received_, {}); }

 private:
  void receive();
  void flush();

  static constexpr size_t kMostReceived = size_t{64} << 10, kMostOutgoing = size_t{1} << 20;
  int socket_ = -1;
  bool ended_ = false, gone_ = false;
  std::string received_;
  std::string outgoing_;
  control::MessageReader reader_;
};

// Listens at a path, for its owner alone; a socket that a killed process has left there goes. -1
// with one line in *problem.
[[nodiscard]] int listen_at(const std::string& path, std::string* problem);

// Members of messages: one that is missing, or of another kind, is empty or 0.
[[nodiscard]] std::string text_of(const control::JsonValue& value, std::string_view name);
[[nodiscard]] int64_t number_of(const control::JsonValue& value, std::string_view name);
[[nodiscard]] bool flag_of(const control::JsonValue& value, std::string_view name);
[[nodiscard]] std::vector<std::string> texts_of(const control::JsonValue& value,
                                                std::string_view name);
[[nodiscard]] control::JsonValue::Array array_of(const std::vector<std::string>& texts);

}  // namespace ringshift::manager
