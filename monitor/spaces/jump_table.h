// JumpTable: from EIP to fragment, for the indirect branches of one view: uint32_t[65536] of arena
// offsets by jump_table_index(EIP); zero leads to the miss stub. Entries are verified by EIP alone,
// so each mode that the code runs in has a table of its own, of which few are kept beside the usual
// mode's. A view with code of its own has an exact table besides, one entry for each EIP: where the
// fragment's body is, which needs no verification. Owns: their memory. See docs/translator.md, "The
// jump table".
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "shadowmmu/base/address.h"
#include "translator/code_mode.h"
#include "translator/frame.h"

namespace ringshift {

class JumpTable {
 public:
  static std::unique_ptr<JumpTable> create(std::string* error);
  ~JumpTable();
  JumpTable(const JumpTable&) = delete;
  JumpTable& operator=(const JumpTable&) = delete;

  static constexpr size_t kBytes = (size_t{1} << 16) * sizeof(uint32_t);
  // The host address of this mode's table. It may have been another mode's until now.
  [[nodiscard]] uint64_t address_for(const CodeMode& mode) {
    return reinterpret_cast<uint64_t>(entries_for(mode));
  }
  // The usual mode's.
  [[nodiscard]] uint64_t address() const { return reinterpret_cast<uint64_t>(entries_); }
  void set(Eip eip, uint32_t arena_offset, const CodeMode& mode = {}) {
    entries_for(mode)[jump_table_index(eip)] = arena_offset;
  }
  // Has a mode's table become another's since this was last asked?
  [[nodiscard]] bool has_moved() { return std::exchange(has_moved_, false); }
  // An exact table from now on. False: the host refuses.
  [[nodiscard]] bool add_exact();
  // Pre: no code that jumps by it is run any more.
  void forget_exact();
  // The usual mode's. body_offset: in the arena.
  void set_exact(Eip eip, uint32_t body_offset);
  void clear_if(Eip eip, uint32_t arena_offset, uint32_t body_offset);
  // Entries of the EIPs in this page, and of the last instruction before it (it may cross into it).
  // In modes whose EIPs are no linear addresses: all of them.
  void clear_page(GuestVirtualPage page);
  void clear();
  // Host memory it takes, at most.
  [[nodiscard]] size_t bytes() const {
    return kBytes * (1 + others_.size()) + 2 * kPageSize * exact_pages_.size();
  }

 private:
  struct OfMode {
    CodeMode mode;
    uint32_t* entries = nullptr;
    uint64_t last_used = 0;
  };

  JumpTable() = default;
  [[nodiscard]] uint32_t* entries_for(const CodeMode& mode) {
    return mode.is_flat() ? entries_ : other_entries(mode);
  }
  [[nodiscard]] uint32_t* other_entries(const CodeMode& mode);
  [[nodiscard]] OfMode& table_to_use();
  void clear_others();
  void clear_exact();
  void clear_exact_of(Eip first, uint32_t count);
  void publish_exact();

  // The usual mode's table. The address of the exact table is stored before it, for generated code;
  // the memory of the first other table follows it.
  uint32_t* entries_ = nullptr;
  uint32_t* exact_ = nullptr;                 // uint32_t[2^32], of which little is ever touched
  std::unordered_set<uint32_t> exact_pages_;  // of the table, with entries
  std::vector<OfMode> others_;                // those in use
  uint64_t use_clock_ = 0;
  size_t latest_ = 0;  // of others_, asked for last
  bool has_moved_ = false;
};

}  // namespace ringshift
