#include "monitor/network/network_link.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "monitor/network/peer_socket.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/host_files.h"

namespace ringshift {

std::unique_ptr<NetworkLink> NetworkLink::open(const NetworkRequest& request,
                                               SlirpProcess::Walls walls, std::string* error) {
  std::unique_ptr<NetworkLink> link(new NetworkLink(request));
  if (!link->connect(walls, error)) return nullptr;
  if (request.dump_path.empty()) return link;
  link->dump_ = PacketDump::create(request.dump_path, error);
  return link->dump_ != nullptr ? std::move(link) : nullptr;
}

bool NetworkLink::connect(SlirpProcess::Walls walls, std::string* error) {
  if (request_.kind == NetworkRequest::Kind::User) {
    slirp_ = SlirpProcess::start(request_.user, walls, error);
    if (slirp_ == nullptr) return false;
    socket_ = slirp_->take_socket();
  } else {
    (request_.peer.listens ? listener_ : socket_) = open_peer_socket(request_.peer, error);
  }
  up_ = socket_ >= 0;
  return socket_ >= 0 || listener_ >= 0;
}

NetworkLink::~NetworkLink() {
  for (const int descriptor : {socket_, listener_}) {
    if (descriptor >= 0) close(descriptor);
  }
  if (listener_ >= 0 && request_.peer.is_unix) remove_host_file(request_.peer.path);
}

pollfd NetworkLink::waiting_for(bool reads) const {
  if (socket_ < 0) return {listener_, POLLIN, 0};
  const int events = (reads ? POLLIN : 0) | (is_idle() ? 0 : POLLOUT);
  // Without either a peer's end would be told again and again: it is heard of at the next read.
  return {events != 0 ? socket_ : -1, static_cast<int16_t>(events), 0};
}

void NetworkLink::serve(int events, std::vector<uint8_t>* frames) {
  if (events == 0) return;
  if (socket_ < 0) {
    socket_ = accept_peer(listener_);
    up_ = socket_ >= 0;
    return;
  }
  if ((events & ~POLLOUT) != 0) read(frames);
  if (socket_ >= 0 && (events & POLLOUT) != 0) write();
}

void NetworkLink::take_in(std::span<const uint8_t> frame, std::vector<uint8_t>* frames) {
  if (dump_ != nullptr) dump_->add(frame);
  if (frame.size() >= kLeastFrame && frame.size() <= kMostFrame) append_frame(frame, frames);
}

void NetworkLink::read(std::vector<uint8_t>* frames) {
  constexpr size_t kAtOnce = size_t{64} << 10;
  std::array<uint8_t, kAtOnce> bytes;
  const ssize_t count = recv(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) return unplug("has ended");
  const auto take = [&](std::span<const uint8_t> frame) { take_in(frame, frames); };
  if (!reader_.add(std::span(bytes).first(static_cast<size_t>(count)), take)) {
    unplug("sends no frames");
  }
}

void NetworkLink::send(std::vector<uint8_t> frames) {
  CHECK(is_idle());
  if (dump_ != nullptr) {
    FrameReader reader;
    (void)reader.add(frames, [this](std::span<const uint8_t> frame) { dump_->add(frame); });
  }
  outgoing_ = std::move(frames);
  sent_ = 0;
  if (socket_ >= 0) return write();
  outgoing_.clear();  // nobody is there
}

bool NetworkLink::try_send(std::vector<uint8_t> frames) {
  CHECK(is_idle() && dump_ == nullptr);
  if (socket_ < 0) return true;
  outgoing_ = std::move(frames);
  sent_ = 0;
  return write_some() && is_idle();
}

void NetworkLink::write() {
  if (!write_some()) unplug("has ended");
}

bool NetworkLink::write_some() {
  while (!is_idle()) {
    const ssize_t count = ::send(socket_, outgoing_.data() + sent_, outgoing_.size() - sent_,
                                 MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN;
    sent_ += static_cast<size_t>(count);
  }
  return true;
}

void NetworkLink::flush_dump() {
  if (dump_ != nullptr) dump_->flush();
}

// A link that listens waits for the next peer, and reports none that comes or leaves.
void NetworkLink::unplug(const char* why) {
  close(socket_);
  socket_ = -1;
  up_ = false;
  reader_.clear();
  outgoing_.clear();
  sent_ = 0;
  if (listener_ >= 0 || std::exchange(has_complained_, true)) return;
  std::fprintf(stderr, "ringshift: the %s %s; the guest's network cable is unplugged\n",
               slirp_ != nullptr ? "process of the network" : "network's peer", why);
}

}  // namespace ringshift
