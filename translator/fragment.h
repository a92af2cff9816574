// Fragment: a published translation and everything that is freed with it (host side). Owns: its
// recovery points, with those it was copied from or to. Its code lies in the arena, its links in
// the link table. Keeps: T1 T4.
#pragma once

#include <boost/container/small_vector.hpp>
#include <boost/intrusive/list.hpp>
#include <boost/intrusive/unordered_set_hook.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <cstdint>
#include <vector>

#include "translator/code_arena.h"
#include "translator/emitted_code.h"
#include "translator/translation_unit.h"

namespace ringshift {

struct Fragment;

using PlainLinkMode = boost::intrusive::link_mode<boost::intrusive::normal_link>;

// A piece of a fragment's guest bytes, on the list of the guest-physical page it came from.
struct PageMember : boost::intrusive::list_base_hook<PlainLinkMode> {
  Fragment* fragment = nullptr;
  CodePiece piece;
};
using PageMembers = boost::intrusive::list<PageMember, boost::intrusive::constant_time_size<false>>;

// The facts that copies of a fragment at other linear addresses share with it. EIPs are those of
// the original.
struct FragmentShape : boost::intrusive_ref_counter<FragmentShape, boost::thread_unsafe_counter> {
  std::vector<RecoveryPoint> recovery;
  std::vector<Relocation> relocations;  // empty unless it may be copied
};

inline constexpr uint32_t kNoLink = ~0U;

struct Fragment {
  using Hook = boost::intrusive::unordered_set_member_hook<PlainLinkMode>;
  Hook by_key;
  Hook by_model;
  TranslationKey key;
  CodeExecuteView code;      // first byte: the indirect entry
  uint32_t size = 0;         // bytes of host code
  uint32_t body_offset = 0;  // direct entry
  uint32_t cold_offset = 0;
  uint32_t instruction_count = 0;
  // One instruction, in two pieces. The second is not in the key, so code that finds such a
  // fragment compares it with the mapping of the moment (T1).
  bool crosses_page = false;
  // The bytes could not be fetched or decoded to the end; they may be whole next time.
  bool is_incomplete = false;
  bool is_copy = false;
  bool is_model = false;    // copies of these bytes are made from it
  bool is_dropped = false;  // an empty record, kept for its place
  uint32_t moved_by = 0;    // of a copy: its EIPs minus those of its shape
  uint32_t first_link = 0;
  uint32_t link_count = 0;
  uint32_t first_incoming = kNoLink;  // of the links, its own or others', that lead here
  boost::intrusive_ptr<const FragmentShape> shape;
  boost::container::small_vector<PageMember, 2> pieces;  // never resized once they are on lists

  [[nodiscard]] uint64_t body() const { return code.address + body_offset; }
  [[nodiscard]] GuestPhysicalPage second_page() const {
    return GuestPhysicalPage::of(pieces.back().piece.physical);
  }
};

}  // namespace ringshift
