#include "devices/host/screen/rfb_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "devices/host/deserted_socket.h"
#include "shadowmmu/base/host_files.h"

namespace ringshift {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kToShakeHands{10};
// How long a client may take none of the bytes sent to it.
constexpr seconds kToMove{60};
// A wrong password keeps one of the few places that long: guessing is slow.
constexpr seconds kAfterWrongPassword{1};
constexpr int kLookMilliseconds = 500;
constexpr mode_t kOwnerOnly = 0600;
static_assert(rfb::Session::kTile == PictureFeed::kTile);

}  // namespace

// ---- listening ----

std::unique_ptr<RfbServer> RfbServer::create(const RfbServerConfig& config, ScreenPort& port,
                                             std::string* error) {
  auto server = std::unique_ptr<RfbServer>(new RfbServer(config, port));
  const bool listens =
      config.unix_path.empty() ? server->listen_tcp(error) : server->listen_unix(error);
  if (!listens) return nullptr;
  port.set_on_screen([made = server.get()] { made->thread_.wake(); });
  return server;
}

std::string RfbServer::refusal() const {
  return "--display vnc: cannot listen at " + where_ + ": " + std::strerror(errno);
}

bool RfbServer::listen_at(int family, const void* address, unsigned length, std::string* error) {
  const int on = 1;
  listening_ = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const bool is_path = family == AF_UNIX;
  // Linux takes the mode of the descriptor for that of the name.
  const bool is_ready =
      listening_ >= 0 &&
      (is_path ? fchmod(listening_, kOwnerOnly) == 0
               : setsockopt(listening_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0);
  if (!is_ready || bind(listening_, static_cast<const sockaddr*>(address), length) != 0) {
    *error = refusal();
    return false;
  }
  made_path_ = is_path;
  if (listen(listening_, kMostClients) == 0) return true;
  *error = refusal();
  return false;
}

bool RfbServer::listen_tcp(std::string* error) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(config_.port);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(config_.port);
  if (inet_pton(AF_INET, config_.host.c_str(), &v4.sin_addr) == 1) {
    where_ = config_.host + ":" + std::to_string(config_.port);
    return listen_at(AF_INET, &v4, sizeof(v4), error);
  }
  if (inet_pton(AF_INET6, config_.host.c_str(), &v6.sin6_addr) == 1) {
    where_ = "[" + config_.host + "]:" + std::to_string(config_.port);
    return listen_at(AF_INET6, &v6, sizeof(v6), error);
  }
  *error = "--display vnc: " + config_.host + " is not an address in numbers";
  return false;
}

bool RfbServer::listen_unix(std::string* error) {
  where_ = config_.unix_path;
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  if (where_.size() >= sizeof(at.sun_path)) {
    *error = "--display vnc: " + where_ + " is too long for the path of a socket";
    return false;
  }
  std::memcpy(at.sun_path, where_.c_str(), where_.size() + 1);
  remove_deserted_socket(where_);
  return listen_at(AF_UNIX, &at, sizeof(at), error);
}

RfbServer::~RfbServer() {
  thread_.join();
  for (const Client& client : clients_) close(client.descriptor);
  if (listening_ >= 0) close(listening_);
  if (made_path_) remove_host_file(config_.unix_path);
}

void RfbServer::start() {
  thread_.start("vnc", [this] { serve(); });
}

// ---- the thread ----

void RfbServer::serve() {
  while (!thread_.is_stopping()) {
    const int patience = prepare_to_wait();
    if (poll(waiting_.data(), waiting_.size(), patience) < 0) continue;
    if (waiting_[0].revents != 0) thread_.take_wake();
    // Only the clients that were waited for: a client that comes now has its turn in the next
    // round.
    const size_t count = clients_.size();
    for (size_t i = 0; i < count; ++i) {
      const int16_t events = waiting_[i + 2].revents;
      if ((events & ~POLLOUT) != 0) read_some(clients_[i]);
    }
    if (waiting_[1].revents != 0) accept_one();
    take_screen();
    for (Client& client : clients_) write_some(client);
    drop_the_gone();
  }
}

// Returns for how many milliseconds at most.
int RfbServer::prepare_to_wait() {
  waiting_.clear();
  waiting_.push_back({thread_.wake_descriptor(), POLLIN, 0});
  waiting_.push_back({clients_.size() < kMostClients ? listening_ : -1, POLLIN, 0});
  bool is_looked_at = false;
  for (const Client& client : clients_) {
    const bool has_output = !client.session->output().empty();
    const bool reads = client.session->reads();
    is_looked_at |= client.session->waits_for_screen();
    const auto events = static_cast<int16_t>((reads ? POLLIN : 0) | (has_output ? POLLOUT : 0));
    waiting_.push_back({client.descriptor, events, 0});
  }
  int patience = clients_.empty() ? -1 : kLookMilliseconds;
  if (is_looked_at) patience = std::min(patience, feed_.ask(Clock::now()));
  return patience;
}

void RfbServer::accept_one() {
  const int accepted = accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (accepted < 0) return;
  if (config_.unix_path.empty()) {
    const int on = 1;
    (void)setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  rfb::SessionConfig session;
  session.name = "ringshift";
  session.password = config_.password;
  if (!config_.password.empty()) random_.fill(session.challenge);
  session.on_keys = [this](std::vector<uint8_t> codes, KeyTranslator::Change change) {
    return port_.put_keys(std::move(codes), change == KeyTranslator::Change::Press
                                                ? ScreenPort::Loss::Allowed
                                                : ScreenPort::Loss::Forbidden);
  };
  session.on_motion = [this](const MouseMotion& motion) { port_.put_motion(motion); };
  Client client;
  client.descriptor = accepted;
  client.session = std::make_unique<rfb::Session>(std::move(session));
  client.came_at = client.moved_at = Clock::now();
  clients_.push_back(std::move(client));
}

void RfbServer::read_some(Client& client) {
  std::array<uint8_t, 4096> bytes;
  const ssize_t count = recv(client.descriptor, bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (count > 0) {
    client.session->receive(std::span(bytes).first(static_cast<size_t>(count)));
    if (client.session->failed_to_authenticate()) client.refused_at = Clock::now();
  } else if (count == 0 || (errno != EINTR && errno != EAGAIN)) {
    client.has_gone = true;
  }
}

void RfbServer::write_some(Client& client) {
  std::vector<uint8_t>& output = client.session->output();
  if (output.empty()) {
    client.moved_at = Clock::now();
    return;
  }
  const ssize_t sent = send(client.descriptor, output.data() + client.sent,
                            output.size() - client.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent > 0) {
    client.sent += static_cast<size_t>(sent);
    client.moved_at = Clock::now();
  } else if (errno != EINTR && errno != EAGAIN) {
    client.has_gone = true;
  }
  if (client.sent < output.size()) return;
  output.clear();
  client.sent = 0;
}

void RfbServer::take_screen() {
  const auto on_resize = [this] {
    for (Client& client : clients_) client.session->note_all_changed();
  };
  const auto on_change = [this](uint32_t column, uint32_t row) {
    for (Client& client : clients_) client.session->note_change(column, row);
  };
  if (!feed_.take(on_resize, on_change)) return;
  for (Client& client : clients_) {
    if (client.session->waits_for_screen()) client.session->update(feed_.picture());
  }
}

bool RfbServer::is_given_up(const Client& client, Clock::time_point now) const {
  if (client.has_gone) return true;
  rfb::Session& session = *client.session;
  if (!session.is_running() && now - client.came_at > kToShakeHands) return true;
  if (session.is_over() && session.output().empty()) {
    return !session.failed_to_authenticate() || now - client.refused_at > kAfterWrongPassword;
  }
  return now - client.moved_at > kToMove;
}

void RfbServer::drop_the_gone() {
  const Clock::time_point now = Clock::now();
  std::erase_if(clients_, [&](Client& client) {
    if (!is_given_up(client, now)) return false;
    client.session->leave();
    close(client.descriptor);
    return true;
  });
}

}  // namespace ringshift
