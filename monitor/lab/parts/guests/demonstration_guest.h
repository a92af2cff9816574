// Demonstration guests: small kernels of ours that the installed program carries with it. Owns:
// their bytes, Multiboot images that load at 1 MiB. `sensitive` asks the questions of the matrix
// and prints each answer as "name=value"; `paging` makes every kind of page fault; `working` has a
// user program that computes, pages in, calls its kernel, and tries what it may not; `ticking`
// counts the interval timer's interrupts; `neighbour` works in one of several ways, some of which a
// host may not like. See docs/lab.md.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ringshift::lab {

[[nodiscard]] std::span<const uint8_t> sensitive_guest();
[[nodiscard]] std::span<const uint8_t> paging_guest();
[[nodiscard]] std::span<const uint8_t> working_guest();
// Where the ticking guest stores its count of ticks, a doubleword, and the counts of the interval
// timer per tick.
[[nodiscard]] std::span<const uint8_t> ticking_guest();
inline constexpr uint32_t kTickCountAt = 0x180000;
inline constexpr int64_t kTickCounts = 1193;
// The work of a neighbour; it counts its rounds in a doubleword at kNeighbourRoundsAt. It has no
// more than 8 MiB of RAM.
enum class NeighbourWay : uint8_t { Computes, TakesInterrupts, Prints, ChangesItsCode, WritesRam };
[[nodiscard]] std::vector<uint8_t> neighbour_guest(NeighbourWay way);
inline constexpr uint32_t kNeighbourRoundsAt = 0x180000;

// An image as a file that the boot loader can open, for as long as this lives.
class ImageFile {
 public:
  // Null with one line in *error.
  static std::unique_ptr<ImageFile> create(std::span<const uint8_t> image, std::string* error);
  ~ImageFile();
  ImageFile(const ImageFile&) = delete;
  ImageFile& operator=(const ImageFile&) = delete;
  [[nodiscard]] std::string path() const;

 private:
  explicit ImageFile(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace ringshift::lab
