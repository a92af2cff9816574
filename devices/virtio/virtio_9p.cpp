#include "devices/virtio/virtio_9p.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "devices/virtio/virtio_number.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint64_t kHasTag = 1U << 0;  // VIRTIO_9P_MOUNT_TAG
constexpr unsigned kTagAt = 2;         // behind its length
constexpr uint16_t kEntries = 128;

// The bytes that one call moves before the processor goes on, and the least that a request counts
// as.
constexpr size_t kMostAtOnce = size_t{1} << 20, kLeastCost = 4096;

// Types of 9P2000.L (Linux, include/net/9p/9p.h); an answer's is its request's plus one.
constexpr uint8_t kError = 7, kFlush = 108;
constexpr std::array<uint8_t, 25> kRequests = {8,  12,  14,  16,  18,  20,  22, 24, 26,
                                               30, 32,  40,  50,  52,  54,  70, 72, 74,
                                               76, 100, 104, 108, 110, 116, 118};
constexpr std::array<uint8_t, 2> kEnds = {120, 122};
// Linux's numbers, whatever host this is.
constexpr uint32_t kInputOutput = 5, kInvalid = 22, kNotSupported = 95;
constexpr size_t kErrorBytes = kFileHeader + 4, kOldTagAt = kFileHeader;

// Anything else would end the server's patience with all of the guest's files.
bool is_request(uint8_t type) {
  const auto in = [type](const auto& types) {
    return std::find(std::begin(types), std::end(types), type) != std::end(types);
  };
  return in(kRequests) || in(kEnds);
}

void put_number(std::span<uint8_t> bytes, size_t at, size_t count, uint64_t value) {
  for (size_t i = 0; i < count; ++i) bytes[at + i] = static_cast<uint8_t>(value >> (8 * i));
}

uint16_t tag_of(std::span<const uint8_t> message) {
  return static_cast<uint16_t>(number_at(message, kFileTagAt, 2));
}

}  // namespace

Virtio9p::Virtio9p(FilePort& port, std::string tag) : port_(port), tag_(std::move(tag)) {
  CHECK(!tag_.empty() && tag_.size() <= kLongestTag);
  port_.set_on_change([this] { transport().serve_soon(0); });
}

VirtioKind Virtio9p::kind() const {
  return {.name = "virtio-9p",
          .id = 9,
          .pci_device = 0x1009,
          .class_code = 0x00ff00,
          .features = kHasTag,
          .queue_entries = kEntries,
          .config_bytes = kTagAt + static_cast<unsigned>(tag_.size())};
}

uint8_t Virtio9p::config_byte(unsigned offset) const {
  if (offset >= kTagAt) return static_cast<uint8_t>(tag_[offset - kTagAt]);
  return offset == 0 ? static_cast<uint8_t>(tag_.size()) : 0;
}

VirtioDevice::Served Virtio9p::serve(unsigned index) {
  Virtqueue& queue = transport().queue(index);
  if (!deliver()) return Served::Broken;
  for (size_t cost = 0; cost < kMostAtOnce; cost += std::max(kLeastCost, message_.size())) {
    if (port_.is_up() && !port_.has_room()) return Served::All;
    const Virtqueue::Taken taken = queue.take(&chain_);
    if (taken == Virtqueue::Taken::None) return Served::All;
    if (taken == Virtqueue::Taken::Broken || !take_request()) return Served::Broken;
  }
  return Served::More;
}

// Answers that nobody waits for any more are those of a driver from before a reset.
bool Virtio9p::deliver() {
  while (true) {
    const std::span<const uint8_t> message = port_.received();
    if (message.empty()) break;
    const auto found = pending_.find(tag_of(message));
    if (found != pending_.end()) {
      const uint16_t flushed = found->second.flushes;
      if (flushed != kNone) finish_flushed(flushed);
      if (!answer(found->second, message)) return false;
      pending_.erase(found);
    }
    port_.take_received();
  }
  if (!port_.is_up()) fail_all();
  return true;
}

// Its chain goes back with nothing in it, which drivers do not take for an answer.
void Virtio9p::finish_flushed(uint16_t tag) {
  const auto found = pending_.find(tag);
  if (found == pending_.end()) return;
  transport().queue(0).give_back(found->second.head, 0);
  pending_.erase(found);
  port_.give_up(tag);
}

bool Virtio9p::answer(Request& request, std::span<const uint8_t> message) {
  if (message.size() > request.answer.bytes()) return false;
  std::array<uint8_t, kFileHeader> header{};
  std::copy_n(message.begin(), kFileHeader, header.begin());
  put_number(header, kFileTagAt, 2, request.guest_tag);
  request.answer.put(transport().memory(), header);
  request.answer.put(transport().memory(), message.subspan(kFileHeader));
  transport().queue(0).give_back(request.head, message.size());
  return true;
}

void Virtio9p::refuse(Request& request, uint32_t error) {
  std::array<uint8_t, kErrorBytes> message{};
  put_number(message, 0, 4, kErrorBytes);
  message[kFileTypeAt] = kError;
  put_number(message, kFileHeader, 4, error);
  CHECK(answer(request, message));  // take_request() has looked that there is room
}

void Virtio9p::fail_all() {
  for (auto& [tag, request] : pending_) refuse(request, kInputOutput);
  pending_.clear();
}

uint16_t Virtio9p::tag_at_server(uint16_t guest_tag) const {
  for (const auto& [tag, request] : pending_) {
    if (request.guest_tag == guest_tag) return tag;
  }
  return kNone;
}

// A request that is not as long as it says, that has no room for an error, or a tag that is in use:
// no driver does so.
bool Virtio9p::take_request() {
  const uint64_t bytes = chain_.readable.bytes();
  if (bytes < kFileHeader || bytes > kMostFileMessage) return false;
  message_.resize(kFileHeader);
  chain_.readable.take(transport().memory(), message_);
  const uint64_t length = number_at(message_, 0, 4);
  if (length < kFileHeader || length > bytes) return false;
  message_.resize(static_cast<size_t>(length));
  chain_.readable.take(transport().memory(), std::span(message_).subspan(kFileHeader));
  const uint16_t tag = tag_of(message_);
  if (chain_.writable.bytes() < kErrorBytes || tag_at_server(tag) != kNone) return false;
  return forward(tag);
}

bool Virtio9p::forward(uint16_t guest_tag) {
  Request request{.head = chain_.head, .guest_tag = guest_tag, .answer = chain_.writable};
  const uint8_t type = message_[kFileTypeAt];
  if (!port_.is_up() || !is_request(type)) {
    refuse(request, port_.is_up() ? kNotSupported : kInputOutput);
    return true;
  }
  if (type == kFlush) {
    if (message_.size() != kOldTagAt + 2) {
      refuse(request, kInvalid);
      return true;
    }
    request.flushes = tag_at_server(static_cast<uint16_t>(number_at(message_, kOldTagAt, 2)));
    // A request that has been answered cannot be called off.
    if (request.flushes == kNone) {
      put_number(message_, 0, 4, kFileHeader);
      message_[kFileTypeAt] = kFlush + 1;
      return answer(request, std::span(message_).first(kFileHeader));
    }
    put_number(message_, kOldTagAt, 2, request.flushes);
  }
  const uint16_t tag = port_.free_tag();
  put_number(message_, kFileTagAt, 2, tag);
  pending_.insert_or_assign(tag, std::move(request));
  port_.send(message_);
  return true;
}

void Virtio9p::visit_state(StateArchive& archive) {
  uint64_t name = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : tag_) name = (name ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  archive.same("tag", name);
  std::vector<uint16_t> tags;
  for (const auto& [tag, request] : pending_) tags.push_back(tag);
  archive.list("requests", tags, kEntries);
  if (archive.has_loaded()) {
    pending_.clear();
    for (const uint16_t tag : tags) pending_[tag];
  }
  for (auto& one : pending_) {
    Request& request = one.second;
    archive.section("request " + std::to_string(one.first), kStateVersion, [&] {
      archive.field("head", request.head);
      archive.field("guest tag", request.guest_tag);
      archive.field("flushes", request.flushes);
      archive.part("answer", request.answer);
      archive.require(request.answer.bytes() >= kErrorBytes, "answer", "it has no room");
    });
  }
}

}  // namespace ringshift
