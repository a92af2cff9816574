#include "monitor/share/share_link.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "devices/virtio/virtio_number.h"
#include "monitor/share/file_messages.h"
#include "shadowmmu/base/check.h"

namespace ringshift {
namespace {

void append_number(uint64_t value, size_t bytes, std::vector<uint8_t>* to) {
  for (size_t i = 0; i < bytes; ++i) to->push_back(static_cast<uint8_t>(value >> (8 * i)));
}

// size Tattach tag fid afid uname aname n_uname.
void append_attach(uint16_t tag, uint32_t fid, const std::string& folder,
                   std::vector<uint8_t>* to) {
  append_number(kFileFidEnd + 4 + 2 + 2 + folder.size() + 4, 4, to);
  append_number(kFileAttach, 1, to);
  append_number(tag, 2, to);
  append_number(fid, 4, to);
  append_number(kNoFileFid, 4, to);
  append_number(0, 2, to);
  append_number(folder.size(), 2, to);
  to->insert(to->end(), folder.begin(), folder.end());
  append_number(geteuid(), 4, to);
}

}  // namespace

std::unique_ptr<ShareLink> ShareLink::open(const ShareRequest& request, ShareServer::Walls walls,
                                           std::string* error) {
  std::unique_ptr<ShareServer> server = ShareServer::start(request, walls, error);
  if (server == nullptr) return nullptr;
  const int socket = server->take_socket();
  const std::string folder = server->folder();
  auto link = std::make_unique<ShareLink>(socket, folder, std::move(server));
  link->request_ = request;
  return link;
}

ShareLink::ShareLink(int socket, std::string folder, std::unique_ptr<ShareServer> server)
    : folder_(std::move(folder)), server_(std::move(server)), socket_(socket) {}

ShareLink::~ShareLink() {
  if (socket_ >= 0) close(socket_);
}

// ---- the vCPU's side ----

void ShareLink::append_request(std::span<const uint8_t> message, std::vector<uint8_t>* to) const {
  if (message[kFileTypeAt] == kFileAttach) {
    return append_attach(file_tag_of(message), file_fid_of(message), folder_, to);
  }
  to->insert(to->end(), message.begin(), message.end());
}

// ---- the thread's side ----

pollfd ShareLink::waiting_for(bool reads) const {
  const int events = (reads ? POLLIN : 0) | (is_idle() ? 0 : POLLOUT);
  return {events != 0 ? socket_ : -1, static_cast<int16_t>(events), 0};
}

void ShareLink::serve(int events, std::vector<uint8_t>* messages) {
  if (socket_ >= 0 && (events & ~POLLOUT) != 0) read(messages);
  if (socket_ >= 0 && (events & POLLOUT) != 0) write();
}

void ShareLink::read(std::vector<uint8_t>* messages) {
  constexpr size_t kAtOnce = size_t{64} << 10;
  std::array<uint8_t, kAtOnce> bytes;
  const ssize_t count = recv(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) return hang_up("has ended");
  incoming_.insert(incoming_.end(), bytes.begin(), bytes.begin() + count);
  size_t whole = 0;
  while (incoming_.size() - whole >= kFileHeader) {
    const uint64_t length = number_at(std::span(incoming_).subspan(whole), 0, 4);
    if (length < kFileHeader || length > kMostFileMessage) return hang_up("does not speak 9P");
    if (incoming_.size() - whole < length) break;
    whole += static_cast<size_t>(length);
  }
  const auto end = incoming_.begin() + static_cast<std::ptrdiff_t>(whole);
  messages->insert(messages->end(), incoming_.begin(), end);
  incoming_.erase(incoming_.begin(), end);
}

void ShareLink::send(std::vector<uint8_t> messages) {
  CHECK(is_idle());
  outgoing_ = std::move(messages);
  sent_ = 0;
  if (socket_ >= 0) return write();
  outgoing_.clear();
}

void ShareLink::write() {
  while (!is_idle()) {
    const ssize_t count = ::send(socket_, outgoing_.data() + sent_, outgoing_.size() - sent_,
                                 MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno == EAGAIN) return;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return hang_up("has ended");
    sent_ += static_cast<size_t>(count);
  }
}

void ShareLink::hang_up(const char* why) {
  close(socket_);
  socket_ = -1;
  up_ = false;
  incoming_.clear();
  outgoing_.clear();
  sent_ = 0;
  std::fprintf(
      stderr, "ringshift: the server of the shared folder (diod) %s; the guest gets errors there\n",
      why);
}

}  // namespace ringshift
