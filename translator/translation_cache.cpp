#include "translator/translation_cache.h"

#include <algorithm>
#include <cstring>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {
namespace {

// The 64-byte granules of a page that [first, first + length) touches, cut at the page's end.
uint64_t granules_of(uint32_t first, uint32_t length) {
  constexpr uint32_t kGranuleShift = 6;
  if (length == 0) return 0;
  const uint32_t last = std::min(first + length, kPageSize) - 1;
  const uint64_t up_to_last = ~uint64_t{0} >> (63 - (last >> kGranuleShift));
  return up_to_last & ~uint64_t{0} << (first >> kGranuleShift);
}

}  // namespace

Fragment* TranslationCache::find(const TranslationKey& key) const {
  auto it = by_key_.find(key);
  return it == by_key_.end() ? nullptr : it->second;
}

Fragment* TranslationCache::publish(const TranslationUnit& unit, const EmittedCode& emitted) {
  const auto owner = static_cast<uint32_t>(fragments_.size() + 1);
  const CodeExecuteView at = arena_.publish(emitted.bytes, owner);
  if (at.address == 0) return nullptr;
  auto owned = std::make_unique<Fragment>();
  Fragment& fragment = *owned;
  fragment.key = unit.key;
  fragment.code = at;
  fragment.size = static_cast<uint32_t>(emitted.bytes.size());
  fragment.body_offset = emitted.body;
  fragment.cold_offset = emitted.cold;
  fragment.instruction_count = static_cast<uint32_t>(unit.instructions.size());
  fragment.recovery = emitted.recovery;
  fragment.first_link = next_link();
  fragment.link_count = static_cast<uint32_t>(emitted.links.size());
  for (const EmittedLink& link : emitted.links) {
    links_.push_back(
        {&fragment, nullptr, link.patch_offset, link.stub_offset, link.destination_eip});
  }
  fragment.crosses_page = unit.crosses_page;
  fragment.is_incomplete = unit.instructions.back().instruction.length == 0;
  fragment.pieces = std::vector<PageMember>(unit.pieces.size());
  for (size_t i = 0; i < unit.pieces.size(); ++i) {
    fragment.pieces[i].fragment = &fragment;
    fragment.pieces[i].piece = unit.pieces[i];
  }
  note_granules(fragment);
  for (PageMember& member : fragment.pieces) {
    by_page_[GuestPhysicalPage::of(member.piece.physical)].push_back(member);
  }
  by_key_.emplace(fragment.key, &fragment);
  fragments_.push_back(std::move(owned));
  return &fragment;
}

Fragment* TranslationCache::fragment_at(uint64_t host_pc) const {
  const uint32_t owner = arena_.owner_of(host_pc);
  return owner == 0 ? nullptr : fragments_[owner - 1].get();
}

TranslationCache::LinkView TranslationCache::link_view(uint32_t link) const {
  CHECK(link < links_.size());
  return {links_[link].from, links_[link].destination_eip};
}

void TranslationCache::patch(const Link& link, uint64_t destination) {
  const uint64_t field = link.from->code.address + link.patch_offset;
  const auto relative = static_cast<uint32_t>(destination - (field + 4));
  std::memcpy(arena_.write_view({field}).bytes, &relative, sizeof(relative));
}

void TranslationCache::link(uint32_t number, Fragment& to, const SafePoint&) {
  Link& link = links_[number];
  CHECK(link.from != nullptr);
  if (link.to == &to) return;
  if (link.to != nullptr) undo(number);
  link.to = &to;
  to.incoming.push_back(number);
  patch(link, to.body());
  counters().links_made++;
}

void TranslationCache::link_through_table(uint32_t number, uint64_t dispatch, const SafePoint&) {
  const Link& link = links_[number];
  CHECK(link.from != nullptr && link.to == nullptr);
  // mov r8d, destination; jmp dispatch: shorter than the stub it replaces.
  const uint64_t stub = link.from->code.address + link.stub_offset;
  std::array<uint8_t, 11> code = {0x41, 0xb8, 0, 0, 0, 0, 0xe9, 0, 0, 0, 0};
  std::memcpy(&code[2], &link.destination_eip, sizeof(uint32_t));
  const auto relative = static_cast<uint32_t>(dispatch - (stub + code.size()));
  std::memcpy(&code[7], &relative, sizeof(relative));
  std::memcpy(arena_.write_view({stub}).bytes, code.data(), code.size());
  counters().links_through_table++;
}

void TranslationCache::undo(uint32_t number) {
  Link& link = links_[number];
  if (link.to == nullptr) return;
  remove_incoming(*link.to, number);
  link.to = nullptr;
  if (link.from != nullptr) patch(link, link.from->code.address + link.stub_offset);
  counters().links_undone++;
}

void TranslationCache::remove_incoming(Fragment& to, uint32_t number) {
  auto it = std::find(to.incoming.begin(), to.incoming.end(), number);
  CHECK(it != to.incoming.end());
  *it = to.incoming.back();
  to.incoming.pop_back();
}

void TranslationCache::unlink_all(const SafePoint&) {
  for (uint32_t number = 0; number < links_.size(); ++number) undo(number);
}

bool TranslationCache::has_code(GuestPhysicalPage page) const {
  auto it = by_page_.find(page);
  return it != by_page_.end() && !it->second.empty();
}

// Before the fragment is entered in the lists of its pages: a page without any starts anew.
void TranslationCache::note_granules(const Fragment& fragment) {
  for (const PageMember& member : fragment.pieces) {
    const GuestPhysicalPage page = GuestPhysicalPage::of(member.piece.physical);
    if (!has_code(page)) granules_[page] = 0;
  }
  for (const PageMember& member : fragment.pieces) {
    const GuestPhysical at = member.piece.physical;
    granules_[GuestPhysicalPage::of(at)] |= granules_of(at.offset_in_page(), member.piece.length);
  }
}

bool TranslationCache::may_hold_code(GuestPhysical address, uint32_t length) const {
  const auto it = granules_.find(GuestPhysicalPage::of(address));
  return it != granules_.end() && (it->second & granules_of(address.offset_in_page(), length)) != 0;
}

template <typename Predicate>
uint32_t TranslationCache::drop_from_page(GuestPhysicalPage page, Predicate concerns,
                                          const SafePoint& safe) {
  auto it = by_page_.find(page);
  if (it == by_page_.end()) return 0;
  // The pieces of a fragment that lie in one page are next to each other on its list.
  std::vector<Fragment*> concerned;
  for (const PageMember& member : it->second) {
    const bool known = !concerned.empty() && concerned.back() == member.fragment;
    if (!known && concerns(member)) concerned.push_back(member.fragment);
  }
  for (Fragment* fragment : concerned) drop(*fragment, safe);
  return static_cast<uint32_t>(concerned.size());
}

uint32_t TranslationCache::drop_overlapping(GuestPhysical address, uint32_t length,
                                            const SafePoint& safe) {
  const uint64_t end = address.value() + length;
  return drop_from_page(
      GuestPhysicalPage::of(address),
      [&](const PageMember& member) {
        const uint64_t start = member.piece.physical.value();
        return start < end && address.value() < start + member.piece.length;
      },
      safe);
}

uint32_t TranslationCache::drop_mapped_at(GuestPhysicalPage page, GuestVirtualPage linear,
                                          uint32_t view, const SafePoint& safe) {
  return drop_from_page(
      page,
      [&](const PageMember& member) {
        return member.fragment->key.view == view &&
               GuestVirtualPage::of(GuestVirtual(member.piece.eip)) == linear;
      },
      safe);
}

void TranslationCache::drop_with_code_at(uint32_t eip, const SafePoint& safe) {
  std::vector<Fragment*> concerned;
  for (const auto& [key, fragment] : by_key_) {
    for (const PageMember& member : fragment->pieces) {
      if (!member.piece.holds(eip)) continue;
      concerned.push_back(fragment);
      break;
    }
  }
  for (Fragment* fragment : concerned) drop(*fragment, safe);
}

void TranslationCache::drop(Fragment& fragment, const SafePoint&) {
  observer_.on_fragment_dropped(fragment);
  while (!fragment.incoming.empty()) undo(fragment.incoming.back());
  for (uint32_t i = 0; i < fragment.link_count; ++i) {
    const uint32_t number = fragment.first_link + i;
    undo(number);
    links_[number].from = nullptr;
  }
  by_key_.erase(fragment.key);
  for (PageMember& member : fragment.pieces) member.unlink();
  counters().fragments_dropped++;
  // Its code stays in the arena, unreachable, until the next drop_all (T3); the record goes now.
  fragments_[arena_.owner_of(fragment.code.address) - 1].reset();
}

void TranslationCache::drop_all(const SafePoint&) {
  observer_.on_all_dropped();
  counters().fragments_dropped += by_key_.size();
  counters().cache_flushes++;
  by_key_.clear();
  by_page_.clear();
  granules_.clear();
  fragments_.clear();
  links_.clear();
  ++epoch_;
  arena_.reset();
}

void TranslationCache::verify_invariants() const {
  for (const auto& [key, fragment] : by_key_) {
    CHECK(fragment->key == key);
    CHECK(fragment_at(fragment->code.address) == fragment);
    CHECK(!fragment->pieces.empty());
    for (const PageMember& member : fragment->pieces) {
      CHECK(member.is_linked());
      const CodePiece& piece = member.piece;
      CHECK(piece.length == 0 || may_hold_code(piece.physical, piece.length));
    }
    for (uint32_t number : fragment->incoming) CHECK(links_[number].to == fragment);
    for (uint32_t i = 0; i < fragment->link_count; ++i) {
      CHECK(links_[fragment->first_link + i].from == fragment);
    }
  }
  for (uint32_t number = 0; number < links_.size(); ++number) {
    const Link& link = links_[number];
    if (link.to == nullptr) continue;
    CHECK(link.from != nullptr);
    CHECK(std::count(link.to->incoming.begin(), link.to->incoming.end(), number) == 1);
  }
}

}  // namespace ringshift
