// WrittenCode: the bytes of code in pages into which the guest stores, beside the code or in its
// place. Owns: a CodeBytes for each of at most kMost pages; the last page to want a place
// has it. Keeps: M2. See docs/shadow-mmu.md, "Write to a code page".
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>

#include "shadowmmu/base/address.h"
#include "translator/code_bytes.h"

namespace ringshift {

class WrittenCode {
 public:
  static constexpr size_t kMost = 256;

  [[nodiscard]] CodeBytes* find(GuestPhysicalPage page) const {
    const Place& place = place_of(page);
    return place.page == page ? place.bytes.get() : nullptr;
  }
  // The place of this page is its own from now on, with no byte in it. The page that had it: nobody
  // may read its CodeBytes any more.
  [[nodiscard]] std::optional<GuestPhysicalPage> begin(GuestPhysicalPage page) {
    Place& place = place_of(page);
    const std::optional<GuestPhysicalPage> before = place.page;
    place.page = page;
    if (place.bytes == nullptr) place.bytes = std::make_unique<CodeBytes>();
    place.bytes->clear();
    return before;
  }
  // Nobody may read its CodeBytes any more. False: it had none.
  bool end(GuestPhysicalPage page) {
    Place& place = place_of(page);
    if (place.page != page) return false;
    place.page.reset();
    return true;
  }

 private:
  struct Place {
    std::optional<GuestPhysicalPage> page;
    std::unique_ptr<CodeBytes> bytes;
  };
  [[nodiscard]] const Place& place_of(GuestPhysicalPage page) const {
    return places_[page.number() % kMost];
  }
  [[nodiscard]] Place& place_of(GuestPhysicalPage page) { return places_[page.number() % kMost]; }

  std::array<Place, kMost> places_;
};

}  // namespace ringshift
