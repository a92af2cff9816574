// CodeArena: executable memory, mapped twice so that no page is ever writable and executable at
// once. Owns: the memory and its two views. A bump allocator from either end: costly code grows
// from the bottom, copies from the top, and each side is dropped at once. Keeps: T3 (storage is
// reused only by reset, at a safe point). See docs/translator.md.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ringshift {

// The address at which generated code runs, and the address at which the same bytes can be written.
// Different types so that a patch cannot be written through the executable alias.
struct CodeExecuteView {
  uint64_t address = 0;
};
struct CodeWriteView {
  uint8_t* bytes = nullptr;
};

// The backing of both views. perf looks names up (PerfMap) only where there is no file.
enum class ArenaBacking : uint8_t { File, Anonymous };

class CodeArena {
 public:
  // bytes: capacity, rounded up to pages; at least 64 KiB.
  static std::unique_ptr<CodeArena> create(uint64_t bytes, std::string* error,
                                           ArenaBacking backing = ArenaBacking::File);
  ~CodeArena();
  CodeArena(const CodeArena&) = delete;
  CodeArena& operator=(const CodeArena&) = delete;

  // Copies code in; returns where it runs, or an address of 0 when the arena is full. Starts are
  // 64-byte aligned: one granule never holds two allocations, which find_owner relies on.
  [[nodiscard]] CodeExecuteView publish(std::span<const uint8_t> code, uint32_t owner);
  // The address at which the next publish will put its code, given that it fits.
  [[nodiscard]] CodeExecuteView next() const { return {execute_ + used_}; }
  [[nodiscard]] bool has_room(uint64_t bytes) const { return used_ + bytes + kGranule <= top_; }
  // The same from the top, for code that the caller writes itself. Pre: has_room(bytes).
  [[nodiscard]] CodeExecuteView reserve_at_top(uint64_t bytes, uint32_t owner);
  // For parts of reserved memory.
  void set_owner(CodeExecuteView at, uint64_t bytes, uint32_t owner);
  void reset_top() { top_ = size_; }
  // Everything published so far stays for good (the stubs); reset() returns to this point.
  void keep_everything_so_far() { kept_ = used_; }
  void reset();

  [[nodiscard]] bool contains(uint64_t host_pc) const {
    const uint64_t offset = host_pc - execute_;
    return offset < used_ || (offset >= top_ && offset < size_);
  }
  // The owner given for the code at host_pc. Pre: contains(host_pc).
  [[nodiscard]] uint32_t owner_of(uint64_t host_pc) const;
  [[nodiscard]] CodeWriteView write_view(CodeExecuteView at) const {
    return {write_ + (at.address - execute_)};
  }
  [[nodiscard]] uint64_t base() const { return execute_; }
  [[nodiscard]] uint64_t used() const { return used_; }
  [[nodiscard]] uint64_t used_at_top() const { return size_ - top_; }
  [[nodiscard]] uint64_t size() const { return size_; }

  static constexpr uint64_t kGranule = 64;

 private:
  CodeArena() = default;
  [[nodiscard]] bool map_file();
  [[nodiscard]] bool map_views(int file);
  [[nodiscard]] bool map_anonymous();
  void note_owner(uint64_t first, uint64_t end, uint32_t owner);
  uint8_t* write_ = nullptr;
  uint64_t execute_ = 0;
  uint64_t size_ = 0;
  uint64_t used_ = 0;
  uint64_t kept_ = 0;
  uint64_t top_ = 0;  // offset of the last reservation at the top
  std::vector<uint32_t> owner_by_granule_;
};

}  // namespace ringshift
