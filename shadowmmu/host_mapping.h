// Host mappings: the memfd, mmap and munmap calls behind guest RAM and windows; nothing else. Every
// call is one system call and says whether the host agreed. The only home of these calls for guest
// RAM. See docs/shadow-mmu.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "shadowmmu/base/address.h"

namespace ringshift {

// ReadExecute is never asked for in our own address space.
enum class HostAccess : uint8_t { None, Read, ReadWrite, ReadExecute };

// Lifts a range ahead of need into the page tables (MAP_POPULATE), or leaves each page to its first
// touch. Populating is the cheaper of the two by far for a page that is about to be used.
enum class Population : uint8_t { OnTouch, Now };

// The host's answer: 0, or the errno of the refused call.
class [[nodiscard]] HostResult {
 public:
  constexpr HostResult() = default;
  constexpr explicit HostResult(int error) : error_(error) {}
  [[nodiscard]] constexpr bool ok() const { return error_ == 0; }
  [[nodiscard]] constexpr int error() const { return error_; }
  // The host's words for the error, for one-line messages.
  [[nodiscard]] std::string text() const;

 private:
  int error_ = 0;
};

// A new memfd of `bytes` zero bytes, closed on exec. Its size is sealed: a mapping of it can never
// raise SIGBUS because somebody shortened it. *descriptor is -1 on failure.
HostResult create_memfd(const char* name, uint64_t bytes, int* descriptor);
// The same, but seal_contents() may follow: from then on nobody can write to it, even with a
// descriptor.
HostResult create_sealable_memfd(const char* name, uint64_t bytes, int* descriptor);
[[nodiscard]] HostResult seal_contents(int descriptor);
// Is it such a memfd, sealed, of at least so many bytes? Then a mapping of it never changes, nor
// raises SIGBUS.
[[nodiscard]] bool is_sealed(int descriptor, uint64_t bytes);
// Bytes [offset, offset+bytes) are zeros again, and their memory is the host's; the size stays.
[[nodiscard]] HostResult discard_contents(int descriptor, uint64_t offset, uint64_t bytes);
// The host has memory for all of [offset, offset+bytes) from here on, until it is discarded; the
// bytes stay as they are.
[[nodiscard]] HostResult reserve_contents(int descriptor, uint64_t offset, uint64_t bytes);
// Writes all of the bytes to a memfd or a file at `offset`, or reads all of them; if it ends
// before, ENODATA.
[[nodiscard]] HostResult write_contents(int descriptor, uint64_t offset,
                                        std::span<const uint8_t> bytes);
[[nodiscard]] HostResult read_contents(int descriptor, uint64_t offset, std::span<uint8_t> bytes);
// The first bytes from `offset` on, before `end`, that the host keeps memory for: others are zeros,
// and reading them through a mapping would take memory. Empty: there are none.
struct ByteRange {
  uint64_t begin = 0;
  uint64_t end = 0;
};
[[nodiscard]] ByteRange next_contents(int descriptor, uint64_t offset, uint64_t end);
// True if the host keeps memory for any of these bytes. Unlike a search for the next hole, the cost
// does not grow with the amount of memory.
[[nodiscard]] bool has_contents(int descriptor, uint64_t offset, uint64_t end);
void close_descriptor(int descriptor);

// Bytes [offset, offset+bytes) of `descriptor`, shared, wherever the host likes.
HostResult map_shared(int descriptor, uint64_t offset, size_t bytes, HostAccess access,
                      HostAddress* mapped);

// Fresh zero bytes of our own, read-write, that cost memory only where they are touched.
HostResult map_private(size_t bytes, HostAddress* mapped);
// Makes the bytes zero again, and gives their memory back. Pre: page-aligned, of map_private.
HostResult discard(HostAddress at, size_t bytes);

// Reserves address space without memory: PROT_NONE, not counted against the commit limit.
// `alignment` is a power of two of at least a page; unaligned head and tail are given back.
HostResult reserve(size_t bytes, size_t alignment, HostAddress* reserved);
// The same at exactly `at`; fails with EEXIST if anything is mapped there already.
HostResult reserve_at(HostAddress at, size_t bytes);

// How many mappings a process of this host may have (vm.max_map_count).
[[nodiscard]] uint32_t most_host_mappings();

// Puts bytes [offset, offset+bytes) of `descriptor` at `at`, shared, in place of whatever is there.
// Pre: the range lies in a reservation of the caller's: a stray address would replace our own code.
HostResult map_fixed(HostAddress at, int descriptor, uint64_t offset, size_t bytes,
                     HostAccess access, Population population = Population::OnTouch);
// Puts the bare reservation back: PROT_NONE and anonymous, so every access faults. Pre: as above.
HostResult unmap_to_reserved(HostAddress at, size_t bytes);
// Changes the access rights of pages that stay mapped.
HostResult protect(HostAddress at, size_t bytes, HostAccess access);
// Gives the address space itself back.
HostResult release(HostAddress at, size_t bytes);

}  // namespace ringshift
