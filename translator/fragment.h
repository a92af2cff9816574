// Fragment: a published translation and everything that is freed with it (host side).
// Owns: its recovery points. Its code lies in the arena, its links in the cache.
// Called by: translation cache (owns), gate, recovery, vcpu (runs). Keeps: T1 T4.
#pragma once

#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <vector>

#include "translator/code_arena.h"
#include "translator/emitted_code.h"
#include "translator/translation_unit.h"

namespace ringshift {

struct Fragment;

// A piece of a fragment's guest bytes, on the list of the guest-physical page it came from.
struct PageMember
    : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
  Fragment* fragment = nullptr;
  CodePiece piece;
};
using PageMembers = boost::intrusive::list<PageMember, boost::intrusive::constant_time_size<false>>;

struct Fragment {
  TranslationKey key;
  CodeExecuteView code;      // first byte: the indirect entry
  uint32_t size = 0;         // bytes of host code
  uint32_t body_offset = 0;  // direct entry
  uint32_t cold_offset = 0;
  uint32_t instruction_count = 0;
  std::vector<PageMember> pieces;  // never resized once they are on lists
  // One instruction, in two pieces. The second is not in the key, so whoever finds such a fragment
  // compares it with the mapping of the moment (T1).
  bool crosses_page = false;
  // The bytes could not be fetched or decoded to the end; they may be whole next time.
  bool is_incomplete = false;
  std::vector<RecoveryPoint> recovery;
  std::vector<Relocation> relocations;  // empty unless it may be relocated
  uint32_t first_link = 0;
  uint32_t link_count = 0;
  std::vector<uint32_t> incoming;  // links of other fragments (or its own) that lead here

  [[nodiscard]] uint64_t body() const { return code.address + body_offset; }
  [[nodiscard]] GuestPhysicalPage second_page() const {
    return GuestPhysicalPage::of(pieces.back().piece.physical);
  }
};

}  // namespace ringshift
