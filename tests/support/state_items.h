// StateItems: a saved state taken apart into its items and put together again, so that a test can
// change one of them. See docs/saved-state.md for the format.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {

struct StateItem {
  static constexpr uint8_t kSection = 1, kConstant = 6;
  uint8_t kind = 0;
  std::string name;
  std::vector<uint8_t> payload;  // of a field; of a section its version
  std::vector<StateItem> items;  // of a section
};

using StateItems = std::vector<StateItem>;

// Pre: the bytes are those of a good state, without its header.
inline StateItems parse_items(std::span<const uint8_t> body) {
  StateItems items;
  while (!body.empty()) {
    StateItem item;
    const size_t name_length = body[1];
    item.kind = body[0];
    item.name.assign(body.begin() + 2, body.begin() + 2 + static_cast<ptrdiff_t>(name_length));
    body = body.subspan(2 + name_length);
    const size_t length = body[0] | size_t{body[1]} << 8 | size_t{body[2]} << 16;
    CHECK(body[3] == 0 || length != 0);
    const auto payload = body.subspan(4, length | size_t{body[3]} << 24);
    body = body.subspan(4 + payload.size());
    if (item.kind == StateItem::kSection) {
      item.payload.assign(payload.begin(), payload.begin() + 2);
      item.items = parse_items(payload.subspan(2));
    } else {
      item.payload.assign(payload.begin(), payload.end());
    }
    items.push_back(std::move(item));
  }
  return items;
}

inline StateItems parse_state(std::span<const uint8_t> saved) {
  return parse_items(saved.subspan(StateArchive::kHeaderBytes));
}

inline std::vector<uint8_t> body_of(const StateItems& items) {
  std::vector<uint8_t> body;
  for (const StateItem& item : items) {
    std::vector<uint8_t> payload = item.payload;
    const std::vector<uint8_t> inner = body_of(item.items);
    payload.insert(payload.end(), inner.begin(), inner.end());
    body.push_back(item.kind);
    body.push_back(static_cast<uint8_t>(item.name.size()));
    body.insert(body.end(), item.name.begin(), item.name.end());
    for (unsigned i = 0; i < 4; ++i) body.push_back(static_cast<uint8_t>(payload.size() >> 8 * i));
    body.insert(body.end(), payload.begin(), payload.end());
  }
  return body;
}

inline std::vector<uint8_t> assemble_state(const StateItems& items) {
  return StateArchive::with_header(body_of(items));
}

// Each list of items, and which one of it: sections and fields alike, however deep.
inline void for_each_item(StateItems& items,
                          const std::function<void(const std::string&, StateItems&, size_t)>& visit,
                          const std::string& within = "") {
  for (size_t i = 0; i < items.size(); ++i) {
    const std::string path = within + items[i].name;
    visit(path, items, i);
    for_each_item(items[i].items, visit, path + "/");
  }
}

// Where two states differ, by name; empty: nowhere.
inline std::string differing_items(const StateItems& one, const StateItems& other,
                                   const std::string& where = "") {
  if (one.size() != other.size()) return where + ": not the same items; ";
  std::string all;
  for (size_t i = 0; i < one.size(); ++i) {
    const std::string name = where.empty() ? one[i].name : where + "/" + one[i].name;
    if (one[i].name != other[i].name || one[i].payload != other[i].payload) all += name + "; ";
    all += differing_items(one[i].items, other[i].items, name);
  }
  return all;
}

}  // namespace ringshift
