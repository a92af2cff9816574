#include "monitor/share/share_link.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "devices/virtio/virtio_number.h"
#include "shadowmmu/base/check.h"

namespace ringshift {
namespace {

// Of 9P2000.L; an answer's type is its request's plus one.
constexpr uint8_t kVersion = 100, kAttach = 104, kClunk = 120;
constexpr size_t kFidAt = kFileHeader, kFidEnd = kFidAt + 4;
constexpr uint32_t kNoFid = 0xffffffff;

void append_number(uint64_t value, size_t bytes, std::vector<uint8_t>* to) {
  for (size_t i = 0; i < bytes; ++i) to->push_back(static_cast<uint8_t>(value >> (8 * i)));
}

uint16_t tag_of(std::span<const uint8_t> message) {
  return static_cast<uint16_t>(number_at(message, kFileTagAt, 2));
}

// size Tattach tag fid afid uname aname n_uname.
void append_attach(uint16_t tag, uint32_t fid, const std::string& folder,
                   std::vector<uint8_t>* to) {
  append_number(kFidEnd + 4 + 2 + 2 + folder.size() + 4, 4, to);
  append_number(kAttach, 1, to);
  append_number(tag, 2, to);
  append_number(fid, 4, to);
  append_number(kNoFid, 4, to);
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

uint16_t ShareLink::free_tag() const {
  size_t tag = 0;
  while (tags_.test(tag)) ++tag;
  return static_cast<uint16_t>(tag);
}

void ShareLink::note_request(std::span<const uint8_t> message, std::vector<uint8_t>* to) {
  const uint8_t type = message[kFileTypeAt];
  const uint16_t tag = tag_of(message);
  CHECK(tag < kMostRequests && !tags_.test(tag));
  tags_.set(tag);
  const bool has_fid = message.size() >= kFidEnd;
  const auto fid = has_fid ? static_cast<uint32_t>(number_at(message, kFidAt, 4)) : kNoFid;
  if (type == kVersion) mounted_.clear();
  if (type == kClunk && has_fid) mounted_.erase(fid);
  if (type == kAttach) {
    attaching_[tag] = fid;
    return append_attach(tag, fid, folder_, to);
  }
  to->insert(to->end(), message.begin(), message.end());
}

void ShareLink::note_answer(std::span<const uint8_t> message) {
  const uint16_t tag = tag_of(message);
  if (message[kFileTypeAt] == kAttach + 1 && mounted_.size() < kMostMounts) {
    const auto asked = attaching_.find(tag);
    if (asked != attaching_.end()) mounted_.insert(asked->second);
  }
  give_up(tag);
}

void ShareLink::give_up(uint16_t tag) {
  attaching_.erase(tag);
  if (tag < kMostRequests) tags_.reset(tag);
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
