#include "monitor/machine/media/snapshot.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>

#include "shadowmmu/base/hash.h"
#include "shadowmmu/base/host_files.h"
#include "shadowmmu/base/zeroed_bytes.h"
#include "shadowmmu/host_mapping.h"

namespace ringshift {
namespace {

constexpr std::array<char, 8> kMagic = {'R', 'S', 'M', 'A', 'C', 'H', 'N', '\n'};
constexpr uint32_t kFormat = 2;
constexpr uint32_t kCloneFormat = 3;                       // RAM is elsewhere
constexpr uint64_t kMostStateBytes = uint64_t{256} << 20;  // devices have memories of tens of MiB
// Grains: small ones copy less when they are written, and take more of the host's mappings.
constexpr uint32_t kSmallestGrain = 64 * 1024;
constexpr uint64_t kMostGrains = 4096;
constexpr uint64_t kMostRamBytes = uint64_t{1} << 32;

// All numbers are little-endian, as the hosts are that this runs on.
struct Header {
  std::array<char, 8> magic = kMagic;
  uint32_t format = kFormat;
  uint32_t word_bytes = 0;
  uint64_t state_bytes = 0;
  uint64_t ram_bytes = 0;
  uint32_t grain_bytes = 0;
  uint32_t grains = 0;     // that are not zeros: entries of the table
  uint64_t body_hash = 0;  // of words, state and table
  uint64_t own_hash = 0;   // of the header before this field
};
static_assert(sizeof(Header) == 56);
static_assert(sizeof(SavedRam::Grain) == 16);
static_assert(sizeof(SavedRam::Elsewhere) == 16);

template <typename T>
std::span<const uint8_t> bytes_of(const T& value) {
  return {reinterpret_cast<const uint8_t*>(&value), sizeof(value)};
}
template <typename T>
std::span<const uint8_t> bytes_of(const std::vector<T>& table) {
  return {reinterpret_cast<const uint8_t*>(table.data()), table.size() * sizeof(T)};
}

uint64_t hash_of(const Header& header) {
  return hash_bytes(bytes_of(header).first(offsetof(Header, own_hash)), header.format);
}

uint64_t page_aligned(uint64_t bytes) { return (bytes + kPageSize - 1) & ~uint64_t{kPageSize - 1}; }

// Always so many, so that nothing says how many there are: those that are none have no seal.
constexpr uint64_t kElsewhereBytes = MachinePages::kMostBases * sizeof(SavedRam::Elsewhere);

uint64_t body_bytes(const Header& header) {
  const uint64_t elsewhere = header.format == kCloneFormat ? kElsewhereBytes : 0;
  return elsewhere + header.word_bytes + header.state_bytes +
         uint64_t{header.grains} * sizeof(SavedRam::Grain);
}
uint64_t ram_offset(const Header& header) {
  return page_aligned(sizeof(Header) + body_bytes(header));
}

bool fail(const std::string& why, std::string* error) {
  *error = "saved machine: " + why;
  return false;
}

bool write_at(int descriptor, uint64_t offset, std::span<const uint8_t> bytes, std::string* error) {
  const HostResult result = write_contents(descriptor, offset, bytes);
  return result.ok() || fail("cannot write: " + result.text(), error);
}

bool read_at(int descriptor, uint64_t offset, std::span<uint8_t> bytes, std::string* error) {
  const HostResult result = read_contents(descriptor, offset, bytes);
  if (result.error() == ENODATA) return fail("the file ends too early", error);
  return result.ok() || fail("cannot read: " + result.text(), error);
}

uint32_t grain_for(uint64_t ram_bytes) {
  uint32_t grain = kSmallestGrain;
  while (ram_bytes / grain > kMostGrains) grain *= 2;
  return grain;
}

uint64_t count_grains(uint64_t ram_bytes, uint32_t grain_bytes) {
  return (ram_bytes + grain_bytes - 1) / grain_bytes;
}

// Where a grain begins in RAM, and how long it is: the last one may be cut short.
uint64_t start_of(const SavedRam& ram, uint64_t grain) { return grain * ram.grain_bytes; }
uint64_t length_of(const SavedRam& ram, uint64_t grain) {
  return std::min<uint64_t>(ram.grain_bytes, ram.bytes - start_of(ram, grain));
}

SavedRam layout_of(const GuestMemory& memory) {
  SavedRam ram{.bytes = memory.size(),
               .grain_bytes = grain_for(memory.size()),
               .grains = {},
               .elsewhere = {}};
  const std::vector<bool> used = memory.parts_in_use(ram.grain_bytes);
  for (uint64_t i = 0; i < used.size(); ++i) {
    if (!used[i]) continue;
    const auto bytes = memory.span(GuestPhysical(start_of(ram, i)), length_of(ram, i));
    if (!is_zero(bytes)) ram.grains.push_back({i, hash_bytes(bytes, i)});
  }
  return ram;
}

std::vector<uint8_t> joined(const std::vector<std::string>& words) {
  std::vector<uint8_t> bytes;
  for (const std::string& word : words) {
    bytes.insert(bytes.end(), word.begin(), word.end());
    bytes.push_back(0);
  }
  return bytes;
}

std::vector<std::string> split(std::span<const uint8_t> bytes) {
  std::vector<std::string> words;
  std::string word;
  for (const uint8_t byte : bytes) {
    if (byte != 0) {
      word.push_back(static_cast<char>(byte));
      continue;
    }
    words.push_back(word);
    word.clear();
  }
  return words;
}

// Words, state and table as one.
std::vector<uint8_t> body_of(const Snapshot& snapshot, const SavedRam& ram) {
  std::vector<uint8_t> body = joined(snapshot.words);
  body.insert(body.end(), snapshot.state.begin(), snapshot.state.end());
  const std::span<const uint8_t> entries = bytes_of(ram.grains);
  body.insert(body.end(), entries.begin(), entries.end());
  return body;
}

// Pages of zeros stay holes, in grains that are not zeros too.
bool write_grain(int descriptor, const SavedRam& ram, uint64_t grain, const GuestMemory& memory,
                 std::string* error) {
  const uint64_t start = start_of(ram, grain);
  const auto page = [&](uint64_t at) { return memory.span(GuestPhysical(start + at), kPageSize); };
  const uint64_t end = length_of(ram, grain);
  for (uint64_t at = 0; at < end; at += kPageSize) {
    if (is_zero(page(at))) continue;
    const uint64_t first = at;
    while (at < end && !is_zero(page(at))) at += kPageSize;
    const auto run = memory.span(GuestPhysical(start + first), at - first);
    if (!write_at(descriptor, ram.offset + start + first, run, error)) return false;
  }
  return true;
}

bool is_possible(const Header& header) {
  const uint64_t grain = header.grain_bytes;
  const bool good_grain =
      grain >= kPageSize && grain <= kMostRamBytes && (grain & (grain - 1)) == 0;
  return good_grain && header.word_bytes <= kMostWordBytes &&
         header.state_bytes <= kMostStateBytes && header.ram_bytes != 0 &&
         header.ram_bytes <= kMostRamBytes && header.ram_bytes % kPageSize == 0 &&
         count_grains(header.ram_bytes, header.grain_bytes) <= kMostGrains &&
         header.grains <= count_grains(header.ram_bytes, header.grain_bytes);
}

bool read_header(int descriptor, Header* header, std::string* error) {
  std::array<uint8_t, sizeof(Header)> bytes{};
  if (!read_at(descriptor, 0, bytes, error)) return false;
  std::memcpy(header, bytes.data(), sizeof(Header));
  if (header->magic != kMagic) return fail("the file is none", error);
  if (header->own_hash != hash_of(*header)) return fail("its header is damaged", error);
  if (header->format != kFormat && header->format != kCloneFormat) {
    return fail(
        "it has format " + std::to_string(header->format) + ", which this program does not know",
        error);
  }
  return is_possible(*header) || fail("its sizes are impossible", error);
}

// It can be mapped, and has all of RAM.
bool has_ram(int descriptor, const SavedRam& ram, std::string* error) {
  struct stat status {};
  if (!describe_descriptor(descriptor, &status) || !S_ISREG(status.st_mode)) {
    return fail("it is no regular file, and cannot be mapped", error);
  }
  return static_cast<uint64_t>(status.st_size) >= ram.end() ||
         fail("the file ends too early", error);
}

bool read_table(std::span<const uint8_t> bytes, SavedRam* ram, std::string* error) {
  ram->grains.resize(bytes.size() / sizeof(SavedRam::Grain));
  if (!bytes.empty()) std::memcpy(ram->grains.data(), bytes.data(), bytes.size());
  uint64_t next = 0;  // they come in order, each once
  for (const SavedRam::Grain& grain : ram->grains) {
    if (grain.number < next || grain.number >= count_grains(ram->bytes, ram->grain_bytes)) {
      return fail("its table of RAM is wrong", error);
    }
    next = grain.number + 1;
  }
  return true;
}

// Reads where the grains of a clone are.
bool read_elsewhere(std::span<const uint8_t> bytes, SavedRam* ram, std::string* error) {
  ram->elsewhere.resize(MachinePages::kMostBases);
  std::memcpy(ram->elsewhere.data(), bytes.data(), bytes.size());
  while (ram->elsewhere.size() > 1 && ram->elsewhere.back().seal == 0) ram->elsewhere.pop_back();
  for (const SavedRam::Grain& grain : ram->grains) {
    if (grain.hash >= ram->elsewhere.size()) return fail("its table of RAM is wrong", error);
  }
  return true;
}

}  // namespace

std::vector<uint8_t> bytes_of_clone(const Snapshot& snapshot) {
  std::vector<SavedRam::Elsewhere> elsewhere = snapshot.ram.elsewhere;
  elsewhere.resize(MachinePages::kMostBases);
  std::vector<uint8_t> body = body_of(snapshot, snapshot.ram);
  const std::span<const uint8_t> places = bytes_of(elsewhere);
  body.insert(body.end(), places.begin(), places.end());
  Header header;
  header.format = kCloneFormat;
  header.word_bytes = static_cast<uint32_t>(joined(snapshot.words).size());
  header.state_bytes = snapshot.state.size();
  header.ram_bytes = snapshot.ram.bytes;
  header.grain_bytes = snapshot.ram.grain_bytes;
  header.grains = static_cast<uint32_t>(snapshot.ram.grains.size());
  header.body_hash = hash_bytes(body, kCloneFormat);
  header.own_hash = hash_of(header);
  std::vector<uint8_t> all(sizeof(header) + body.size());
  std::memcpy(all.data(), &header, sizeof(header));
  std::memcpy(all.data() + sizeof(header), body.data(), body.size());
  return all;
}

bool write_snapshot(int descriptor, const Snapshot& snapshot, const GuestMemory& memory,
                    std::string* error) {
  SavedRam ram = layout_of(memory);
  const std::vector<uint8_t> body = body_of(snapshot, ram);
  Header header;
  header.word_bytes = static_cast<uint32_t>(joined(snapshot.words).size());
  header.state_bytes = snapshot.state.size();
  header.ram_bytes = ram.bytes;
  header.grain_bytes = ram.grain_bytes;
  header.grains = static_cast<uint32_t>(ram.grains.size());
  header.body_hash = hash_bytes(body, kFormat);
  header.own_hash = hash_of(header);
  if (header.word_bytes > kMostWordBytes) return fail("the command line is too long", error);
  ram.offset = ram_offset(header);
  if (!write_at(descriptor, 0, bytes_of(header), error) ||
      !write_at(descriptor, sizeof(Header), body, error)) {
    return false;
  }
  // The last bytes of RAM are in the file, even if they are a hole.
  if (ftruncate(descriptor, static_cast<off_t>(ram.end())) != 0) {
    return fail(std::string("cannot make room: ") + std::strerror(errno), error);
  }
  for (const SavedRam::Grain& grain : ram.grains) {
    if (!write_grain(descriptor, ram, grain.number, memory, error)) return false;
  }
  return fsync(descriptor) == 0 ||
         fail(std::string("cannot be put on its medium: ") + std::strerror(errno), error);
}

bool read_snapshot(int descriptor, Snapshot* snapshot, std::string* error) {
  Header header;
  if (!read_header(descriptor, &header, error)) return false;
  std::vector<uint8_t> body(body_bytes(header));
  if (!read_at(descriptor, sizeof(Header), body, error)) return false;
  if (hash_bytes(body, header.format) != header.body_hash)
    return fail("its state is damaged", error);
  const std::span<const uint8_t> all(body);
  snapshot->words = split(all.first(header.word_bytes));
  const auto state = all.subspan(header.word_bytes, header.state_bytes);
  snapshot->state.assign(state.begin(), state.end());
  snapshot->ram = {.offset = ram_offset(header),
                   .bytes = header.ram_bytes,
                   .grain_bytes = header.grain_bytes,
                   .grains = {},
                   .elsewhere = {}};
  const auto table =
      all.subspan(header.word_bytes + header.state_bytes, header.grains * sizeof(SavedRam::Grain));
  if (!read_table(table, &snapshot->ram, error)) return false;
  if (header.format == kFormat) return has_ram(descriptor, snapshot->ram, error);
  return read_elsewhere(all.last(kElsewhereBytes), &snapshot->ram, error);
}

bool verify_grain(int descriptor, const SavedRam& ram, size_t index, std::string* error) {
  const SavedRam::Grain& grain = ram.grains[index];
  std::vector<uint8_t> bytes(length_of(ram, grain.number));
  if (!read_at(descriptor, ram.offset + start_of(ram, grain.number), bytes, error)) return false;
  return hash_bytes(bytes, grain.number) == grain.hash || fail("its RAM is damaged", error);
}

RamBase base_of(const SavedRam& ram, int descriptor) {
  RamBase base{.descriptor = descriptor,
               .offset = ram.offset,
               .grain_pages = ram.grain_bytes / kPageSize,
               .present = std::vector<bool>(count_grains(ram.bytes, ram.grain_bytes))};
  for (const SavedRam::Grain& grain : ram.grains) base.present[grain.number] = true;
  return base;
}

}  // namespace ringshift
