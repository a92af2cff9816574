// LinkTable: the direct branches of all fragments, by number, and for each fragment those that lead
// to it. Owns: the links' records; not the code they patch. Generated code holds numbers of links,
// so they last until the fragments of their kind are all dropped.
#pragma once

#include <cstdint>
#include <vector>

#include "translator/emitted_code.h"
#include "translator/fragment.h"

namespace ringshift {

// Originals come out of the whole pipeline; copies are made of them for other linear addresses, and
// can be dropped by themselves.
enum class FragmentKind : uint8_t { Original, Copy };

// Numbers of copies, and of their links, have this bit.
inline constexpr uint32_t kCopyNumber = 1U << 31;

struct Link {
  Fragment* from = nullptr;  // null once the fragment is gone
  Fragment* to = nullptr;    // null while unlinked
  EmittedLink emitted;
  uint64_t dispatch = 0;  // not 0: TranslationCache::link_through_table has replaced its stub
  // The others that lead to the same fragment.
  uint32_t next_incoming = kNoLink;
  uint32_t previous_incoming = kNoLink;
};

class LinkTable {
 public:
  [[nodiscard]] uint32_t next(FragmentKind kind) const {
    return kind == FragmentKind::Copy ? static_cast<uint32_t>(copies_.size()) | kCopyNumber
                                      : static_cast<uint32_t>(originals_.size());
  }
  [[nodiscard]] bool has(uint32_t number) const {
    return (number & ~kCopyNumber) < (is_of_copy(number) ? copies_ : originals_).size();
  }
  [[nodiscard]] Link& operator[](uint32_t number) {
    return is_of_copy(number) ? copies_[number & ~kCopyNumber] : originals_[number];
  }
  [[nodiscard]] const Link& operator[](uint32_t number) const {
    return is_of_copy(number) ? copies_[number & ~kCopyNumber] : originals_[number];
  }
  [[nodiscard]] static bool is_of_copy(uint32_t number) { return (number & kCopyNumber) != 0; }

  void add(FragmentKind kind, Fragment& from, const EmittedLink& emitted);
  // Pre: the link leads nowhere.
  void connect(uint32_t number, Fragment& to);
  // Pre: the link leads somewhere.
  void disconnect(uint32_t number);
  void clear(FragmentKind kind) { (kind == FragmentKind::Copy ? copies_ : originals_).clear(); }

  template <typename Visitor>
  void for_each_number(Visitor visit) const {
    for (uint32_t i = 0; i < originals_.size(); ++i) visit(i);
    for (uint32_t i = 0; i < copies_.size(); ++i) visit(i | kCopyNumber);
  }
  void verify_invariants() const;

 private:
  std::vector<Link> originals_;
  std::vector<Link> copies_;
};

}  // namespace ringshift
