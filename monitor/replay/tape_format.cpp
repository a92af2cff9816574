#include "monitor/replay/tape_format.h"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "monitor/network/guest_packets.h"
#include "monitor/share/guest_files.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/hash.h"

namespace ringshift {
namespace {

constexpr uint64_t kMagic = 0x455041545f535201;  // "\x01RS_TAPE"
constexpr uint32_t kVersion = 4;
constexpr uint32_t kChunkMagic = 0x4b4e4843;  // "CHNK"
constexpr int kLevel = 3;

struct ChunkHeader {
  uint32_t magic = kChunkMagic;
  uint32_t packed_bytes = 0;
  uint32_t plain_bytes = 0;
  uint32_t reserved = 0;
  uint64_t hash = 0;  // of the packed bytes, with the chunk's number as seed
};
static_assert(sizeof(ChunkHeader) == 24);

template <typename T>
void append(std::vector<uint8_t>* out, T value) {
  const size_t at = out->size();
  out->resize(at + sizeof(T));
  std::memcpy(out->data() + at, &value, sizeof(T));
}

class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  [[nodiscard]] bool is_at_end() const { return bytes_.empty(); }
  template <typename T>
  [[nodiscard]] bool read(T* value) {
    if (bytes_.size() < sizeof(T)) return false;
    std::memcpy(value, bytes_.data(), sizeof(T));
    bytes_ = bytes_.subspan(sizeof(T));
    return true;
  }
  [[nodiscard]] bool read(size_t count, std::vector<uint8_t>* value) {
    if (bytes_.size() < count) return false;
    value->assign(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(count));
    bytes_ = bytes_.subspan(count);
    return true;
  }

 private:
  std::span<const uint8_t> bytes_;
};

bool read_position(Reader* reader, TapePosition* at) {
  uint8_t is_halted = 0;
  if (!reader->read(&at->life) || !reader->read(&at->events) || !reader->read(&at->halts) ||
      !reader->read(&is_halted)) {
    return false;
  }
  at->is_halted = is_halted != 0;
  return is_halted <= 1;
}

// The kinds of input that reach the guest, out of all that come in; their places here are the
// numbers in the file.
constexpr std::array kKindsOnTape = {
    HostInput::Kind::ConsoleBytes,  HostInput::Kind::ConsoleEnd,    HostInput::Kind::Keys,
    HostInput::Kind::Motion,        HostInput::Kind::NetworkRoom,   HostInput::Kind::NetworkLink,
    HostInput::Kind::NetworkFrames, HostInput::Kind::ShareMessages, HostInput::Kind::ShareRoom,
    HostInput::Kind::ShareEnd,      HostInput::Kind::Reset,         HostInput::Kind::PowerButton};

// Its bytes are such as a recorder writes.
bool is_sound(const HostInput& input) {
  switch (input.kind) {
    case HostInput::Kind::NetworkRoom:
    case HostInput::Kind::NetworkLink:
    case HostInput::Kind::NetworkFrames:
      return GuestPackets::is_sound(input);
    case HostInput::Kind::ShareMessages:
    case HostInput::Kind::ShareRoom:
    case HostInput::Kind::ShareEnd:
      return GuestFiles::is_sound(input);
    default:
      return true;
  }
}

uint8_t number_of(HostInput::Kind kind) {
  const auto* const found = std::ranges::find(kKindsOnTape, kind);
  CHECK(found != kKindsOnTape.end());  // Machine gives no other to a tape
  return static_cast<uint8_t>(found - kKindsOnTape.begin());
}

bool read_input(Reader* reader, HostInput* input) {
  uint8_t kind = 0;
  uint32_t length = 0;
  if (!reader->read(&kind) || !reader->read(&input->source) || !reader->read(&length) ||
      kind >= kKindsOnTape.size()) {
    return false;
  }
  input->kind = kKindsOnTape.at(kind);
  return reader->read(length, &input->bytes) && is_sound(*input);
}

bool read_entry(Reader* reader, TapeEntry* entry) {
  uint8_t kind = 0;
  if (!reader->read(&kind) || !read_position(reader, &entry->at)) return false;
  if (kind > static_cast<uint8_t>(TapeEntry::Kind::Stop)) return false;
  entry->kind = static_cast<TapeEntry::Kind>(kind);
  if (entry->kind == TapeEntry::Kind::Input) return read_input(reader, &entry->input);
  return reader->read(&entry->mark.registers) && reader->read(&entry->mark.memory) &&
         reader->read(&entry->mark.output);
}

// Nothing: the bytes do not fit their kind.
std::optional<std::vector<uint8_t>> unpack(const ChunkHeader& header,
                                           std::span<const uint8_t> packed, uint64_t number) {
  if (hash_bytes(packed, number) != header.hash) return std::nullopt;
  std::vector<uint8_t> plain(header.plain_bytes);
  const size_t bytes = ZSTD_decompress(plain.data(), plain.size(), packed.data(), packed.size());
  if (ZSTD_isError(bytes) != 0 || bytes != plain.size()) return std::nullopt;
  return plain;
}

}  // namespace

std::string TapePosition::text() const {
  const std::string in_life = life == 0 ? "" : fmt::format(" of life {}", life);
  return fmt::format("event {}{}{}", events, in_life, is_halted ? ", halted" : "");
}

std::vector<uint8_t> tape_header() {
  std::vector<uint8_t> header;
  append(&header, kMagic);
  append(&header, kVersion);
  append(&header, uint32_t{0});
  return header;
}

bool check_tape_header(std::span<const uint8_t> header, std::string* problem) {
  Reader reader(header);
  uint64_t magic = 0;
  uint32_t version = 0;
  if (!reader.read(&magic) || magic != kMagic) {
    *problem = "it is no tape";
    return false;
  }
  uint32_t reserved = 0;
  if (!reader.read(&version) || !reader.read(&reserved) || version != kVersion || reserved != 0) {
    *problem =
        fmt::format("it is of version {}, and this program reads version {}", version, kVersion);
    return false;
  }
  return true;
}

void append_entry(const TapeEntry& entry, std::vector<uint8_t>* plain) {
  append(plain, static_cast<uint8_t>(entry.kind));
  append(plain, entry.at.life);
  append(plain, entry.at.events);
  append(plain, entry.at.halts);
  append(plain, static_cast<uint8_t>(entry.at.is_halted ? 1 : 0));
  if (entry.kind != TapeEntry::Kind::Input) {
    append(plain, entry.mark.registers);
    append(plain, entry.mark.memory);
    append(plain, entry.mark.output);
    return;
  }
  append(plain, number_of(entry.input.kind));
  append(plain, entry.input.source);
  append(plain, static_cast<uint32_t>(entry.input.bytes.size()));
  plain->insert(plain->end(), entry.input.bytes.begin(), entry.input.bytes.end());
}

std::vector<uint8_t> pack_chunk(std::span<const uint8_t> plain, uint64_t number) {
  CHECK(plain.size() <= kMostChunkBytes);
  std::vector<uint8_t> chunk(sizeof(ChunkHeader) + ZSTD_compressBound(plain.size()));
  uint8_t* const packed = chunk.data() + sizeof(ChunkHeader);
  const size_t bytes =
      ZSTD_compress(packed, chunk.size() - sizeof(ChunkHeader), plain.data(), plain.size(), kLevel);
  CHECK(ZSTD_isError(bytes) == 0);
  ChunkHeader header;
  header.packed_bytes = static_cast<uint32_t>(bytes);
  header.plain_bytes = static_cast<uint32_t>(plain.size());
  header.hash = hash_bytes({packed, bytes}, number);
  std::memcpy(chunk.data(), &header, sizeof(header));
  chunk.resize(sizeof(header) + bytes);
  return chunk;
}

ChunkResult unpack_chunk(std::span<const uint8_t> bytes, uint64_t number,
                         std::vector<TapeEntry>* entries, size_t* taken, std::string* problem) {
  const auto damaged = [&](const char* how) {
    *problem = fmt::format("chunk {} is damaged: {}", number, how);
    return ChunkResult::Damaged;
  };
  ChunkHeader header;
  if (bytes.size() < sizeof(header)) return ChunkResult::Cut;
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.magic != kChunkMagic || header.reserved != 0) {
    return damaged("it does not begin as a chunk");
  }
  if (header.plain_bytes > kMostChunkBytes ||
      header.packed_bytes > ZSTD_compressBound(kMostChunkBytes)) {
    return damaged("it is too long");
  }
  if (bytes.size() - sizeof(header) < header.packed_bytes) return ChunkResult::Cut;
  const auto plain = unpack(header, bytes.subspan(sizeof(header), header.packed_bytes), number);
  if (!plain) return damaged("its content is not what its hash says");
  Reader reader(*plain);
  while (!reader.is_at_end()) {
    TapeEntry entry;
    if (!read_entry(&reader, &entry)) return damaged("an entry is none that a recorder writes");
    entries->push_back(std::move(entry));
  }
  *taken = sizeof(header) + header.packed_bytes;
  return ChunkResult::Whole;
}

}  // namespace ringshift
