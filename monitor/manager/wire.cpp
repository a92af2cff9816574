#include "monitor/manager/wire.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "devices/host/deserted_socket.h"
#include "shadowmmu/base/host_connection.h"

namespace ringshift::manager {

using control::JsonValue;

Wire& Wire::operator=(Wire&& other) noexcept {
  if (this == &other) return *this;
  close();
  socket_ = std::exchange(other.socket_, -1);
  ended_ = std::exchange(other.ended_, false);
  gone_ = std::exchange(other.gone_, false);
  received_ = std::exchange(other.received_, {});
  outgoing_ = std::exchange(other.outgoing_, {});
  reader_ = std::exchange(other.reader_, {});
  return *this;
}

Wire Wire::to(const std::string& path) { return Wire(begin_connection(("unix:" + path).c_str())); }

void Wire::close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
  ended_ = gone_ = false;
  received_.clear();
  outgoing_.clear();
  reader_ = {};
}

// One that has ended is still waited for, without a wish: to hear that it has gone.
pollfd Wire::waiting_for() const {
  short events = 0;
  if (!ended_ && received_.size() < kMostReceived) events |= POLLIN;
  if (!outgoing_.empty()) events |= POLLOUT;
  const bool is_full = !ended_ && events == 0;
  return {is_full || gone_ ? -1 : socket_, events, 0};
}

void Wire::serve(short events) {
  if ((events & (POLLIN | POLLHUP | POLLERR)) != 0) receive();
  if (socket_ >= 0 && !outgoing_.empty()) flush();
  if ((events & (POLLHUP | POLLERR)) != 0 && ended_) gone_ = true;
}

void Wire::receive() {
  std::array<uint8_t, 16384> bytes;
  while (socket_ >= 0 && !ended_ && received_.size() < kMostReceived) {
    const long count = receive_some(socket_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    ended_ = count <= 0;
    if (count > 0) received_.append(bytes.begin(), bytes.begin() + count);
  }
}

void Wire::send(std::string_view bytes) {
  if (socket_ < 0) return;
  outgoing_ += bytes;
  flush();
  if (outgoing_.size() > kMostOutgoing) close();
}

void Wire::flush() {
  while (!outgoing_.empty()) {
    const auto* const bytes = reinterpret_cast<const uint8_t*>(outgoing_.data());
    const long count = send_some(socket_, bytes, outgoing_.size());
    if (count > 0) {
      outgoing_.erase(0, static_cast<size_t>(count));
    } else if (errno != EINTR) {
      // A peer that has gone may have sent something before.
      if (errno != EAGAIN) outgoing_.clear();
      return;
    }
  }
}

std::optional<JsonValue> Wire::take_message() {
  std::span<const uint8_t> left(reinterpret_cast<const uint8_t*>(received_.data()),
                                received_.size());
  std::optional<control::Message> message = reader_.take(&left);
  received_.erase(0, received_.size() - left.size());
  if (!message) return std::nullopt;
  JsonValue value;
  size_t at = 0;
  if (message->problem.empty() && parse_json(message->text, &value, &at)) return value;
  close();
  return std::nullopt;
}

int listen_at(const std::string& path, std::string* problem) {
  ConnectionName name;
  uint16_t port = 0;
  remove_deserted_socket(path);
  int listener = -1;
  if (parse_connection(("unix:" + path).c_str(), &name)) {
    listener = listen_for_connection(name, &port);
  }
  if (listener < 0) *problem = "cannot listen at " + path + ": " + std::strerror(errno);
  return listener;
}

std::string text_of(const JsonValue& value, std::string_view name) {
  const JsonValue* const member = value.find(name);
  const std::string* const text = member != nullptr ? member->as_text() : nullptr;
  return text != nullptr ? *text : "";
}

int64_t number_of(const JsonValue& value, std::string_view name) {
  const JsonValue* const member = value.find(name);
  const int64_t* const number = member != nullptr ? member->as_integer() : nullptr;
  return number != nullptr ? *number : 0;
}

bool flag_of(const JsonValue& value, std::string_view name) {
  const JsonValue* const member = value.find(name);
  const bool* const flag = member != nullptr ? member->as_bool() : nullptr;
  return flag != nullptr && *flag;
}

std::vector<std::string> texts_of(const JsonValue& value, std::string_view name) {
  std::vector<std::string> texts;
  const JsonValue* const member = value.find(name);
  const JsonValue::Array* const array = member != nullptr ? member->as_array() : nullptr;
  if (array == nullptr) return texts;
  for (const JsonValue& one : *array) {
    if (one.as_text() != nullptr) texts.push_back(*one.as_text());
  }
  return texts;
}

JsonValue::Array array_of(const std::vector<std::string>& texts) {
  JsonValue::Array array;
  for (const std::string& text : texts) array.emplace_back(text);
  return array;
}

}  // namespace ringshift::manager
