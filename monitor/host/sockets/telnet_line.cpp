#include "monitor/host/sockets/telnet_line.h"

#include <libtelnet.h>

#include <new>
#include <utility>

namespace ringshift {
namespace {

// The options that we offer (WILL) and those that we ask of the peer (DO). All others are refused.
constexpr telnet_telopt_t kOptions[] = {{TELNET_TELOPT_ECHO, TELNET_WILL, TELNET_DONT},
                                        {TELNET_TELOPT_SGA, TELNET_WILL, TELNET_DO},
                                        {TELNET_TELOPT_BINARY, TELNET_WILL, TELNET_DO},
                                        {-1, 0, 0}};

void take_event(telnet_t*, telnet_event_t* event, void* user) {
  auto* line = static_cast<TelnetLine*>(user);
  if (event->type == TELNET_EV_DATA) {
    line->on_data({reinterpret_cast<const uint8_t*>(event->data.buffer), event->data.size});
  } else if (event->type == TELNET_EV_SEND) {
    line->on_send({event->data.buffer, event->data.size});
  } else if (event->type == TELNET_EV_WILL || event->type == TELNET_EV_WONT) {
    if (event->neg.telopt == TELNET_TELOPT_BINARY) line->on_binary(event->type == TELNET_EV_WILL);
  }
}

}  // namespace

TelnetLine::TelnetLine(std::function<void(std::string_view)> send)
    : send_(std::move(send)), parser_(telnet_init(kOptions, take_event, 0, this)) {
  if (parser_ == nullptr) throw std::bad_alloc();
  for (const telnet_telopt_t& option : kOptions) {
    if (option.telopt < 0) break;
    const auto number = static_cast<unsigned char>(option.telopt);
    telnet_negotiate(parser_, TELNET_WILL, number);
    if (option.him == TELNET_DO) telnet_negotiate(parser_, TELNET_DO, number);
  }
}

TelnetLine::~TelnetLine() { telnet_free(parser_); }

std::vector<uint8_t> TelnetLine::take(std::span<const uint8_t> bytes) {
  telnet_recv(parser_, reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return std::exchange(data_, {});
}

// The Return key is CR NUL unless bytes are as they are (RFC 854).
void TelnetLine::on_data(std::span<const uint8_t> bytes) {
  for (const uint8_t byte : bytes) {
    if (byte != 0 || !after_return_ || is_binary_) data_.push_back(byte);
    after_return_ = byte == '\r';
  }
}

void TelnetLine::put(std::string_view bytes) { telnet_send(parser_, bytes.data(), bytes.size()); }

}  // namespace ringshift
