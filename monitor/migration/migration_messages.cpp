#include "monitor/migration/migration_messages.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "monitor/migration/greeting/migration_key.h"
#include "shadowmmu/base/hash.h"

namespace ringshift {
namespace {

constexpr std::array<uint8_t, 8> kMagic = {'R', 'S', 'M', 'O', 'V', 'E', 'S', '\n'};
constexpr size_t kLongestLine = 300;

// Messages of another kind, or at another place of the order, have another hash.
uint64_t hash_of(MessageKind kind, uint64_t number, std::span<const uint8_t> bytes) {
  constexpr unsigned kBitsOfKind = 8;
  return hash_bytes(bytes, number << kBitsOfKind | static_cast<uint64_t>(kind));
}

const char* words_of(MigrationStream::End end) {
  switch (end) {
    case MigrationStream::End::None:
      return "it went wrong";
    case MigrationStream::End::Closed:
      return "the other side has gone";
    case MigrationStream::End::Silent:
      return "the other side is silent";
    case MigrationStream::End::Broken:
      return "the connection has broken";
    case MigrationStream::End::NotWanted:
      return "the end was asked for";
  }
  return "?";
}

}  // namespace

void put_u32(std::vector<uint8_t>* bytes, uint32_t value) {
  for (unsigned i = 0; i < sizeof(value); ++i) {
    bytes->push_back(static_cast<uint8_t>(value >> (8 * i)));
  }
}

void put_u64(std::vector<uint8_t>* bytes, uint64_t value) {
  for (unsigned i = 0; i < sizeof(value); ++i) {
    bytes->push_back(static_cast<uint8_t>(value >> (8 * i)));
  }
}

uint32_t get_u32(std::span<const uint8_t> bytes, size_t at) {
  uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof(value));
  return value;
}

uint64_t get_u64(std::span<const uint8_t> bytes, size_t at) {
  uint64_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof(value));
  return value;
}

bool MigrationMessages::fail(std::string why) {
  problem_ = std::move(why);
  return false;
}

bool MigrationMessages::fail_by_end() { return fail(words_of(stream_.end())); }

bool MigrationMessages::send(MessageKind kind, std::span<const uint8_t> head,
                             std::span<const uint8_t> body) {
  out_.clear();
  out_.resize(kHeaderBytes);
  out_.insert(out_.end(), head.begin(), head.end());
  out_.insert(out_.end(), body.begin(), body.end());
  const std::span<const uint8_t> payload = std::span(out_).subspan(kHeaderBytes);
  std::vector<uint8_t> header;
  put_u32(&header, static_cast<uint32_t>(kind));
  put_u32(&header, static_cast<uint32_t>(payload.size()));
  put_u64(&header, hash_of(kind, sent_++, payload));
  std::copy(header.begin(), header.end(), out_.begin());
  if (!stream_.write(out_)) return fail_by_end();
  bytes_sent_ += out_.size();
  return true;
}

bool MigrationMessages::receive(MigrationMessage* message) {
  std::array<uint8_t, kHeaderBytes> header{};
  if (!stream_.read(header)) return fail_by_end();
  const uint32_t kind = get_u32(header, 0), length = get_u32(header, 4);
  if (kind == 0 || kind > kLastMessageKind || length > kMostBytes) {
    return fail("the stream is none of ringshift's, or is damaged");
  }
  message->kind = static_cast<MessageKind>(kind);
  message->bytes.resize(length);
  if (!stream_.read(message->bytes)) return fail_by_end();
  if (hash_of(message->kind, received_++, message->bytes) == get_u64(header, 8)) return true;
  return fail("the stream is none of ringshift's, or is damaged");
}

bool MigrationMessages::expect(MessageKind kind, MigrationMessage* message) {
  if (!receive(message)) return false;
  if (message->kind == MessageKind::Refuse) {
    return fail("the other side refuses: " + shown_line(message->bytes));
  }
  return message->kind == kind || fail("the other side says what is not to be said here");
}

std::vector<uint8_t> bytes_of_hello(const MigrationHello& hello) {
  std::vector<uint8_t> bytes(kMagic.begin(), kMagic.end());
  put_u32(&bytes, hello.format);
  put_u32(&bytes, hello.has_key ? 1 : 0);
  bytes.insert(bytes.end(), hello.nonce.begin(), hello.nonce.end());
  return bytes;
}

bool read_hello(std::span<const uint8_t> bytes, bool has_key, MigrationHello* hello,
                std::string* problem) {
  static_assert(kHelloBytes == kMagic.size() + 2 * sizeof(uint32_t) + kNonceBytes);
  if (bytes.size() != kHelloBytes || !std::equal(kMagic.begin(), kMagic.end(), bytes.begin())) {
    *problem = "the other side is no ringshift";
    return false;
  }
  hello->format = get_u32(bytes, kMagic.size());
  hello->has_key = get_u32(bytes, kMagic.size() + sizeof(uint32_t)) != 0;
  hello->nonce = bytes.last(kNonceBytes);
  if (hello->format != kMigrationFormat) {
    *problem = "the other side speaks format " + std::to_string(hello->format) +
               ", which this program does not know";
    return false;
  }
  if (hello->has_key == has_key) return true;
  *problem = has_key ? "the other side has no key (--migration-key)"
                     : "the other side wants a key (--migration-key)";
  return false;
}

std::string shown_line(std::span<const uint8_t> bytes) {
  std::string line;
  for (const uint8_t byte : bytes.first(std::min(bytes.size(), kLongestLine))) {
    line.push_back(byte >= ' ' && byte <= '~' ? static_cast<char>(byte) : '?');
  }
  return line;
}

uint64_t hash_of_grains(std::span<const uint64_t> hashes) {
  return hash_bytes({reinterpret_cast<const uint8_t*>(hashes.data()), hashes.size_bytes()},
                    kMigrationFormat);
}

}  // namespace ringshift
