#include "shadowmmu/base/state_archive.h"

#include <algorithm>
#include <cstring>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/hash.h"
#include "shadowmmu/base/zeroed_bytes.h"

namespace ringshift {
namespace {

// The header: who we are, the format, how long the body is, its hash.
constexpr std::string_view kMagic = "RSSTATE\n";
constexpr uint32_t kFormat = 1;
constexpr size_t kLengthAt = 12, kHashAt = 20;

// An item: its kind, its name behind one byte of length, its payload behind four.
constexpr size_t kLengthBytes = 4, kVersionBytes = 2, kSizeBytes = 8, kBlockIndexBytes = 4;
constexpr size_t kLongestName = 40;
constexpr size_t kMostItems = 4096;
constexpr size_t kBlock = 4096;  // of a memory

uint64_t little_endian(std::span<const uint8_t> bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes.size(); ++i) value |= uint64_t{bytes[i]} << 8 * i;
  return value;
}

void put(std::vector<uint8_t>& to, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) to.push_back(static_cast<uint8_t>(value >> 8 * i));
}

// Names are shown to people, and the file may come from anywhere.
bool is_name(std::string_view name) {
  constexpr auto kIsGood = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == ' ' || c == '-';
  };
  return !name.empty() && name.size() <= kLongestName && std::ranges::all_of(name, kIsGood);
}

bool is_number_width(size_t width) { return width == 1 || width == 2 || width == 4 || width == 8; }

// Reads from the front; if there are too few bytes the answer is `false`, and nothing is taken.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : left_(bytes) {}
  [[nodiscard]] bool at_end() const { return left_.empty(); }
  [[nodiscard]] bool number(size_t bytes, uint64_t* value) {
    std::span<const uint8_t> taken;
    if (!take(bytes, &taken)) return false;
    *value = little_endian(taken);
    return true;
  }
  [[nodiscard]] bool take(uint64_t bytes, std::span<const uint8_t>* taken) {
    if (bytes > left_.size()) return false;
    *taken = left_.first(static_cast<size_t>(bytes));
    left_ = left_.subspan(static_cast<size_t>(bytes));
    return true;
  }

 private:
  std::span<const uint8_t> left_;
};

// Null, or the mistake in the header.
const char* refusal_of(std::span<const uint8_t> saved) {
  if (saved.size() < kMagic.size() || std::memcmp(saved.data(), kMagic.data(), kMagic.size()) != 0)
    return "it is not a saved state";
  if (saved.size() < StateArchive::kHeaderBytes) return "it is cut off";
  if (little_endian(saved.subspan(kMagic.size(), 4)) != kFormat)
    return "its format is not one that this program knows";
  const std::span<const uint8_t> body = saved.subspan(StateArchive::kHeaderBytes);
  const uint64_t length = little_endian(saved.subspan(kLengthAt, 8));
  if (length > body.size()) return "it is cut off";
  if (length < body.size()) return "something follows its end";
  if (little_endian(saved.subspan(kHashAt, 8)) != hash_bytes(body, kFormat))
    return "it is damaged: its hash is not that of its bytes";
  return nullptr;
}

}  // namespace

std::vector<uint8_t> StateArchive::with_header(std::span<const uint8_t> body) {
  std::vector<uint8_t> saved(kMagic.begin(), kMagic.end());
  put(saved, kFormat, 4);
  put(saved, body.size(), 8);
  put(saved, hash_bytes(body, kFormat), 8);
  saved.insert(saved.end(), body.begin(), body.end());
  return saved;
}

bool StateArchive::save(const Visit& visit, std::vector<uint8_t>* saved, std::string* error) {
  StateArchive archive(false);
  archive.open_.push_back({.name = "", .version = 1, .items = {}});
  visit(archive);
  CHECK(archive.begun_.empty() && archive.open_.size() == 1);
  *saved = with_header(archive.written_);
  *error = archive.error_;
  return archive.error_.empty();
}

bool StateArchive::load(std::span<const uint8_t> saved, const Visit& visit, std::string* error) {
  if (const char* refusal = refusal_of(saved); refusal != nullptr) {
    *error = std::string("saved state: ") + refusal;
    return false;
  }
  StateArchive archive(true);
  archive.open_section("", 1, saved.subspan(kHeaderBytes));
  if (archive.error_.empty()) visit(archive);
  archive.close_section();
  *error = archive.error_;
  return archive.error_.empty();
}

void StateArchive::fail(std::string_view name, const std::string& why) {
  if (!error_.empty()) return;
  error_ = "saved state: ";
  for (const Section& section : open_) {
    if (!section.name.empty()) error_ += std::string(section.name) + "/";
  }
  error_ += std::string(name) + ": " + why;
}

void StateArchive::require(bool holds, std::string_view name, std::string_view why_not) {
  if (!holds) fail(name, std::string(why_not));
}

// --- sections

void StateArchive::section(std::string_view name, unsigned newest_version,
                           const std::function<void()>& visit) {
  if (!is_loading_) {
    begin_item(Kind::Section, name);
    append(newest_version, kVersionBytes);
    open_.push_back({.name = name, .version = newest_version, .items = {}});
    visit();
    open_.pop_back();
    return end_item();
  }
  const Item* const item = take(name, Kind::Section);
  if (item == nullptr) return;
  if (item->payload.size() < kVersionBytes) return fail(name, "it has no version");
  const auto version = static_cast<unsigned>(little_endian(item->payload.first(kVersionBytes)));
  if (version == 0 || version > newest_version) {
    return fail(name, "its version is " + std::to_string(version) +
                          ", and this program knows 1 to " + std::to_string(newest_version));
  }
  open_section(name, version, item->payload.subspan(kVersionBytes));
  if (error_.empty()) visit();
  close_section();
}

// All items are found and named before any is used: their order does not matter.
void StateArchive::open_section(std::string_view name, unsigned version,
                                std::span<const uint8_t> body) {
  open_.push_back({.name = name, .version = version, .items = {}});
  std::vector<Item>& items = open_.back().items;
  Reader reader(body);
  while (!reader.at_end()) {
    uint64_t kind = 0, name_length = 0, length = 0;
    std::span<const uint8_t> item_name, payload;
    if (!reader.number(1, &kind) || !reader.number(1, &name_length) ||
        !reader.take(name_length, &item_name) || !reader.number(kLengthBytes, &length) ||
        !reader.take(length, &payload)) {
      return fail("items", "the last one is cut off");
    }
    const std::string_view text(reinterpret_cast<const char*>(item_name.data()), item_name.size());
    if (!is_name(text)) return fail("items", "one has a name that is none");
    if (kind < static_cast<uint64_t>(Kind::Section) ||
        kind > static_cast<uint64_t>(Kind::Constant)) {
      return fail(text, "there are no items of kind " + std::to_string(kind));
    }
    if (items.size() == kMostItems) return fail("items", "there are too many");
    items.push_back({text, static_cast<Kind>(kind), payload});
  }
  std::ranges::sort(items, {}, &Item::name);
  const auto twice = std::ranges::adjacent_find(items, {}, &Item::name);
  if (twice != items.end()) fail(twice->name, "it is there twice");
}

void StateArchive::close_section() {
  for (const Item& item : open_.back().items) {
    if (!item.used) fail(item.name, "this program knows no such field or section");
  }
  open_.pop_back();
}

StateArchive::Item* StateArchive::take(std::string_view name, Kind kind) {
  if (!error_.empty()) return nullptr;
  std::vector<Item>& items = open_.back().items;
  const auto found = std::ranges::lower_bound(items, name, {}, &Item::name);
  if (found == items.end() || found->name != name) {
    fail(name, "it is missing");
    return nullptr;
  }
  if (found->kind != kind) {
    fail(name, "it is of another kind");
    return nullptr;
  }
  CHECK(!found->used);  // two lines of one visit_state() have the same name
  found->used = true;
  return &*found;
}

void StateArchive::dropped(std::string_view name) {
  CHECK(is_loading_);
  for (Item& item : open_.back().items) item.used |= item.name == name;
}

// --- saving

void StateArchive::begin_item(Kind kind, std::string_view name) {
  CHECK(is_name(name));
  written_.push_back(static_cast<uint8_t>(kind));
  append(name.size(), 1);
  written_.insert(written_.end(), name.begin(), name.end());
  append(0, kLengthBytes);
  begun_.push_back(written_.size());
}

void StateArchive::append(uint64_t value, size_t bytes) { put(written_, value, bytes); }

void StateArchive::end_item() {
  const size_t length = written_.size() - begun_.back();
  CHECK(length <= 0xffffffff);
  for (size_t i = 0; i < kLengthBytes; ++i) {
    written_[begun_.back() - kLengthBytes + i] = static_cast<uint8_t>(length >> 8 * i);
  }
  begun_.pop_back();
}

void StateArchive::begin_list(std::string_view name, size_t width, size_t count) {
  begin_item(Kind::List, name);
  written_.reserve(written_.size() + 1 + count * width);
  append(width, 1);
}

// --- loading

// Narrower than today's field is good: a later version may have widened it.
uint64_t StateArchive::read_payload(std::string_view name, Kind kind) {
  const Item* const item = take(name, kind);
  if (item == nullptr) return 0;
  const size_t width = item->payload.size();
  if (!is_number_width(width)) {
    fail(name, "it is a number of " + std::to_string(width) + " bytes");
    return 0;
  }
  const uint64_t value = little_endian(item->payload);
  if (kind != Kind::Signed || width == 8) return value;
  const uint64_t sign = uint64_t{1} << (8 * width - 1);
  return (value ^ sign) - sign;
}

uint64_t StateArchive::List::at(size_t index) const {
  return little_endian(bytes.subspan(index * width, width));
}

std::optional<StateArchive::List> StateArchive::read_list(std::string_view name, size_t width,
                                                          size_t most) {
  const Item* const item = take(name, Kind::List);
  if (item == nullptr) return std::nullopt;
  const size_t bytes = item->payload.empty() ? 0 : item->payload.size() - 1;
  if (item->payload.empty() || item->payload[0] != width || bytes % width != 0) {
    fail(name, "it is no list of numbers of " + std::to_string(width) + " bytes");
    return std::nullopt;
  }
  if (bytes / width > most) {
    fail(name, "it has " + std::to_string(bytes / width) + " entries, and " + std::to_string(most) +
                   " are the most");
    return std::nullopt;
  }
  return List{item->payload.subspan(1), width, bytes / width};
}

void StateArchive::same(std::string_view name, uint64_t value) {
  if (!is_loading_) {
    begin_item(Kind::Constant, name);
    append(value, sizeof value);
    return end_item();
  }
  const uint64_t saved = read_payload(name, Kind::Constant);
  if (error_.empty() && saved != value) {
    fail(name, "it was " + std::to_string(saved) + " where it was saved, and is " +
                   std::to_string(value) + " here");
  }
}

// The size, then each block that is not zero behind its number.
void StateArchive::memory(std::string_view name, std::span<uint8_t> bytes) {
  bool is_zero = false;
  memory(name, bytes, &is_zero);
}

void StateArchive::memory(std::string_view name, std::span<uint8_t> bytes, bool* is_zero_already) {
  if (is_loading_) {
    const Item* const item = take(name, Kind::Memory);
    if (item == nullptr) return;
    if (!*is_zero_already) std::ranges::fill(bytes, uint8_t{0});
    if (!load_memory(item->payload, bytes)) {
      fail(name, "its blocks are not those of " + std::to_string(bytes.size()) + " bytes");
    }
    *is_zero_already = *is_zero_already && item->payload.size() == kSizeBytes;
    return;
  }
  begin_item(Kind::Memory, name);
  append(bytes.size(), kSizeBytes);
  for (size_t at = *is_zero_already ? bytes.size() : 0; at < bytes.size(); at += kBlock) {
    const auto block = bytes.subspan(at, std::min(kBlock, bytes.size() - at));
    if (is_zero(block)) continue;
    append(at / kBlock, kBlockIndexBytes);
    written_.insert(written_.end(), block.begin(), block.end());
  }
  end_item();
}

// Pre: the bytes are zeros.
bool StateArchive::load_memory(std::span<const uint8_t> payload, std::span<uint8_t> bytes) {
  Reader reader(payload);
  uint64_t size = 0;
  if (!reader.number(kSizeBytes, &size) || size != bytes.size()) return false;
  uint64_t next = 0;
  while (!reader.at_end()) {
    uint64_t index = 0;
    std::span<const uint8_t> block;
    if (!reader.number(kBlockIndexBytes, &index) || index < next || index * kBlock >= size) {
      return false;
    }
    const auto at = static_cast<size_t>(index * kBlock);
    if (!reader.take(std::min<uint64_t>(kBlock, size - at), &block)) return false;
    std::ranges::copy(block, bytes.begin() + static_cast<ptrdiff_t>(at));
    next = index + 1;
  }
  return true;
}

}  // namespace ringshift
