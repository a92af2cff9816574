// StateArchive: the state of things as bytes. One visit_state() names each field once, and saves or
// loads it, as the archive says: so the two directions cannot part. Owns: the bytes being written,
// or where those being read are; the first thing that was wrong with them. Saved bytes are never
// trusted: bad ones end in one line of text, not in a CHECK. Keeps: D3. See docs/saved-state.md.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace ringshift {

class StateArchive {
 public:
  using Visit = std::function<void(StateArchive&)>;
  // False with one line in *error: a value is not one that could be loaded, which is our mistake.
  [[nodiscard]] static bool save(const Visit& visit, std::vector<uint8_t>* saved,
                                 std::string* error);
  // False with one line in *error. The objects visited are then loaded in part, and of no use.
  [[nodiscard]] static bool load(std::span<const uint8_t> saved, const Visit& visit,
                                 std::string* error);
  // A body of items with the header that load() looks for: for tests that make bodies of their own.
  [[nodiscard]] static std::vector<uint8_t> with_header(std::span<const uint8_t> body);
  static constexpr size_t kHeaderBytes = 28;

  [[nodiscard]] bool is_loading() const { return is_loading_; }
  // True while loading, if nothing was wrong so far: values derived from the fields may be rebuilt.
  [[nodiscard]] bool has_loaded() const { return is_loading_ && error_.empty(); }
  // The version of the section being visited, as it was saved: a field that came with version 2 is
  // visited if this is not less.
  [[nodiscard]] unsigned version() const { return open_.back().version; }

  // A thing with its fields in a section of its own. It says which version its fields are of.
  template <typename Part>
  void part(std::string_view name, Part& part) {
    section(name, Part::kStateVersion, [&] { part.visit_state(*this); });
  }
  void section(std::string_view name, unsigned newest_version, const std::function<void()>& visit);

  // A number or a bool: only values in [low, high] are saved and loaded.
  template <std::integral T>
  void field(std::string_view name, T& value, std::type_identity_t<T> low,
             std::type_identity_t<T> high) {
    if (!is_loading_) {
      write_number(name, value);
      return (void)check_range<wide_of<T>>(name, value, low, high);
    }
    const std::optional<T> loaded = read_number<T>(name, low, high);
    if (loaded) value = *loaded;
  }
  template <std::integral T>
  void field(std::string_view name, T& value) {
    field(name, value, std::numeric_limits<T>::min(), std::numeric_limits<T>::max());
  }
  // An enumerator, of which `last` is the highest and zero the lowest.
  template <typename E>
  requires std::is_enum_v<E>
  void choice(std::string_view name, E& value, E last) {
    auto number = static_cast<std::underlying_type_t<E>>(value);
    field(name, number, 0, static_cast<std::underlying_type_t<E>>(last));
    value = static_cast<E>(number);
  }
  template <std::integral T>
  void optional(std::string_view name, std::optional<T>& value, std::type_identity_t<T> low,
                std::type_identity_t<T> high) {
    std::vector<T> numbers;
    if (value) numbers.push_back(*value);
    list(name, numbers, 1);
    for (const T number : numbers) check_range<wide_of<T>>(name, number, low, high);
    if (has_loaded()) value = numbers.empty() ? std::nullopt : std::optional(numbers[0]);
  }

  // As many numbers as there are, always.
  template <typename Numbers>
  void numbers(std::string_view name, Numbers& values) {
    using T = std::remove_reference_t<decltype(*std::begin(values))>;
    std::vector<T> all(std::begin(values), std::end(values));
    const size_t count = all.size();
    list(name, all, count);
    require(all.size() == count, name, "there are fewer of them than there must be");
    if (has_loaded()) std::copy(all.begin(), all.end(), std::begin(values));
  }
  // A vector or a deque of numbers, at most so many.
  template <typename Container>
  void list(std::string_view name, Container& values, size_t most) {
    using T = typename Container::value_type;
    if (!is_loading_) {
      begin_list(name, sizeof(T), values.size());
      for (const T value : values) append(static_cast<uint64_t>(value), sizeof(T));
      end_item();
      return require(values.size() <= most, name, "there are too many entries");
    }
    const std::optional<List> read = read_list(name, sizeof(T), most);
    if (!read) return;
    values.clear();
    for (size_t i = 0; i < read->count; ++i) values.push_back(static_cast<T>(read->at(i)));
  }
  // The memory of a device, always of this size. Pages of zeros take no room.
  void memory(std::string_view name, std::span<uint8_t> bytes);
  // *is_zero_already: they are known to be zeros, and need not be touched to find out; as it is
  // afterwards.
  void memory(std::string_view name, std::span<uint8_t> bytes, bool* is_zero_already);

  // A value that is not state but must be the same where the state is loaded: a size, a hash.
  void same(std::string_view name, uint64_t value);
  // A condition on fields that have been visited.
  void require(bool holds, std::string_view name, std::string_view why_not);
  // A field of an older version that is needed no more: it is read over.
  void dropped(std::string_view name);

 private:
  enum class Kind : uint8_t { Section = 1, Unsigned, Signed, List, Memory, Constant };
  struct Item {
    std::string_view name;
    Kind kind;
    std::span<const uint8_t> payload;
    bool used = false;
  };
  struct Section {
    std::string_view name;
    unsigned version = 0;
    std::vector<Item> items;  // by name; loading only
  };
  // The numbers of a list, each of `width` bytes.
  struct List {
    std::span<const uint8_t> bytes;
    size_t width, count;
    [[nodiscard]] uint64_t at(size_t index) const;
  };

  template <std::integral T>
  using wide_of = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;

  explicit StateArchive(bool is_loading) : is_loading_(is_loading) {}

  template <std::integral T>
  void write_number(std::string_view name, T value) {
    begin_item(std::is_signed_v<T> ? Kind::Signed : Kind::Unsigned, name);
    append(static_cast<uint64_t>(value), sizeof(T));
    end_item();
  }
  template <std::integral T>
  [[nodiscard]] std::optional<T> read_number(std::string_view name, T low, T high) {
    const Kind kind = std::is_signed_v<T> ? Kind::Signed : Kind::Unsigned;
    const auto value = static_cast<wide_of<T>>(read_payload(name, kind));
    if (!check_range<wide_of<T>>(name, value, low, high)) return std::nullopt;
    return static_cast<T>(value);
  }
  template <std::integral T>
  bool check_range(std::string_view name, T value, T low, T high) {
    if (value < low) fail(name, std::to_string(value) + " is less than " + std::to_string(low));
    if (value > high) fail(name, std::to_string(value) + " is more than " + std::to_string(high));
    return error_.empty();
  }

  void begin_item(Kind kind, std::string_view name);
  void append(uint64_t value, size_t bytes);
  void begin_list(std::string_view name, size_t width, size_t count);
  void end_item();

  [[nodiscard]] uint64_t read_payload(std::string_view name, Kind kind);
  [[nodiscard]] std::optional<List> read_list(std::string_view name, size_t width, size_t most);
  [[nodiscard]] bool load_memory(std::span<const uint8_t> payload, std::span<uint8_t> bytes);
  // Null: there is none of this name and kind, and that is the error now.
  [[nodiscard]] Item* take(std::string_view name, Kind kind);
  void open_section(std::string_view name, unsigned version, std::span<const uint8_t> body);
  void close_section();
  void fail(std::string_view name, const std::string& why);

  bool is_loading_;
  std::vector<uint8_t> written_;
  std::vector<size_t> begun_;  // saving: where the items that are not complete begin their payload
  std::vector<Section> open_;
  std::string error_;
};

}  // namespace ringshift
