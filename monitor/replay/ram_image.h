// RamImage: RAM at one moment of a replay, page by page. Images of one guest have a page in common
// where its bytes are the same in both, so an image after another takes only the pages changed
// between them. Owns: its pages, with the others. See docs/debugging-backwards.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "shadowmmu/guest_memory.h"

namespace ringshift {

// How many pages all images of a guest take.
using PageCount = std::shared_ptr<size_t>;

class RamImage {
 public:
  RamImage() = default;
  // like: the image before, whose pages are taken where they are the same; null: there is none.
  RamImage(const GuestMemory& memory, const RamImage* like, PageCount count);

  using Write = std::function<void(GuestPhysical page, std::span<const uint8_t> bytes)>;
  // Has each page written whose bytes are others in this image. Pre: RAM has the size it had.
  void restore(const GuestMemory& memory, const Write& write) const;
  // The size of the list of pages, in bytes.
  [[nodiscard]] size_t list_bytes() const { return pages_.size() * sizeof(pages_[0]); }

 private:
  struct Page {
    Page(std::span<const uint8_t> from, PageCount all);
    ~Page() { --*count; }
    Page(const Page&) = delete;
    Page& operator=(const Page&) = delete;

    std::array<uint8_t, kPageSize> bytes;
    PageCount count;
  };
  std::vector<std::shared_ptr<const Page>> pages_;  // by number; null: zeros
};

}  // namespace ringshift
