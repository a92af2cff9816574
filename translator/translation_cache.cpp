#include "translator/translation_cache.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

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

uint32_t load32(const uint8_t* at) {
  uint32_t value = 0;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

void store32(uint8_t* at, uint32_t value) { std::memcpy(at, &value, sizeof(value)); }

// Neither the first nor the last of linear space: minus such an EIP takes 32 bits to encode.
bool is_inner_page(uint32_t eip) {
  const uint32_t page = eip >> 12;
  return page != 0 && page != 0xfffff;
}

}  // namespace

Fragment* TranslationCache::find(const TranslationKey& key) const {
  auto it = by_key_.find(key);
  return it == by_key_.end() ? nullptr : it->second;
}

Fragment* TranslationCache::publish(const TranslationUnit& unit, const EmittedCode& emitted) {
  auto fragment = std::make_unique<Fragment>();
  fragment->key = unit.key;
  fragment->body_offset = emitted.body;
  fragment->cold_offset = emitted.cold;
  fragment->instruction_count = static_cast<uint32_t>(unit.instructions.size());
  fragment->recovery = emitted.recovery;
  fragment->crosses_page = unit.crosses_page;
  fragment->is_incomplete = unit.instructions.back().instruction.length == 0;
  fragment->pieces = std::vector<PageMember>(unit.pieces.size());
  for (size_t i = 0; i < unit.pieces.size(); ++i) fragment->pieces[i].piece = unit.pieces[i];
  if (unit.key.is_shared() && !fragment->crosses_page && !fragment->is_incomplete &&
      is_inner_page(unit.key.eip)) {
    fragment->relocations = emitted.relocations;
  }
  return publish_bytes(std::move(fragment), emitted.bytes, emitted.links);
}

// Null when the arena is full.
Fragment* TranslationCache::publish_bytes(std::unique_ptr<Fragment> owned,
                                          std::span<const uint8_t> bytes,
                                          std::span<const EmittedLink> links) {
  Fragment& fragment = *owned;
  const auto owner = static_cast<uint32_t>(fragments_.size() + 1);
  fragment.code = arena_.publish(bytes, owner);
  if (fragment.code.address == 0) return nullptr;
  fragment.size = static_cast<uint32_t>(bytes.size());
  fragment.first_link = next_link();
  fragment.link_count = static_cast<uint32_t>(links.size());
  for (const EmittedLink& link : links) links_.push_back({&fragment, nullptr, link, 0});
  note_granules(fragment);
  for (PageMember& member : fragment.pieces) {
    member.fragment = &fragment;
    by_page_[GuestPhysicalPage::of(member.piece.physical)].push_back(member);
  }
  by_key_.emplace(fragment.key, &fragment);
  if (!fragment.relocations.empty()) {
    models_.emplace(ModelKey{fragment.key.physical, fragment.key.style}, &fragment);
  }
  fragments_.push_back(std::move(owned));
  return &fragment;
}

// ---- the same bytes at another linear address ----

// A poll stands before every backward branch. Do the branches out of the page lead to the same side
// when all is moved? (Not if one of them now wraps around the end of linear space.)
bool TranslationCache::is_ordered_alike(const Fragment& model, uint32_t moved_by) const {
  for (uint32_t i = 0; i < model.link_count; ++i) {
    const uint32_t to = links_[model.first_link + i].emitted.destination_eip;
    const bool backward = to <= model.key.eip;
    if (backward != (to + moved_by <= model.key.eip + moved_by)) return false;
  }
  return true;
}

Fragment* TranslationCache::relocate(const TranslationKey& key) {
  if (!key.is_shared() || !is_inner_page(key.eip)) return nullptr;
  const auto found = models_.find({key.physical, key.style});
  if (found == models_.end()) return nullptr;
  const Fragment& model = *found->second;
  const uint32_t moved_by = key.eip - model.key.eip;
  if (!arena_.has_room(model.size) || !is_ordered_alike(model, moved_by)) return nullptr;

  auto fragment = std::make_unique<Fragment>();
  fragment->key = key;
  fragment->body_offset = model.body_offset;
  fragment->cold_offset = model.cold_offset;
  fragment->instruction_count = model.instruction_count;
  fragment->relocations = model.relocations;
  fragment->recovery = model.recovery;
  for (RecoveryPoint& point : fragment->recovery) {
    if (point.kind != RecoveryKind::EipInAddress) point.guest_eip += moved_by;
  }
  fragment->pieces = std::vector<PageMember>(model.pieces.size());
  for (size_t i = 0; i < model.pieces.size(); ++i) {
    fragment->pieces[i].piece = model.pieces[i].piece;
    fragment->pieces[i].piece.eip += moved_by;
  }

  const uint8_t* const from = arena_.write_view(model.code).bytes;
  copy_bytes_.assign(from, from + model.size);
  copy_links_.clear();
  const auto nearer = static_cast<uint32_t>(arena_.next().address - model.code.address);
  for (const Relocation& relocation : model.relocations) {
    uint32_t field = load32(&copy_bytes_[relocation.offset]);
    switch (relocation.kind) {
      case RelocationKind::Eip:
        field += moved_by;
        break;
      case RelocationKind::NegatedEip:
        field -= moved_by;
        break;
      case RelocationKind::ToStub:
        field -= nearer;
        break;
    }
    store32(&copy_bytes_[relocation.offset], field);
  }
  for (uint32_t i = 0; i < model.link_count; ++i) copy_link(links_[model.first_link + i], moved_by);
  return publish_bytes(std::move(fragment), copy_bytes_, copy_links_);
}

// The copy's branch leads to its own stub again, which bears its own number.
void TranslationCache::copy_link(const Link& link, uint32_t moved_by) {
  EmittedLink& copy = copy_links_.emplace_back(link.emitted);
  copy.destination_eip += moved_by;
  store32(&copy_bytes_[copy.patch_offset], copy.stub_offset - (copy.patch_offset + 4));
  if (link.dispatch != 0) {
    const uint64_t stub = arena_.next().address + copy.stub_offset;
    write_table_stub(&copy_bytes_[copy.stub_offset], copy.destination_eip, link.dispatch - stub);
    copy.number_offset = 0;
  } else if (copy.number_offset != 0) {
    const auto number = next_link() + static_cast<uint32_t>(copy_links_.size() - 1);
    store32(&copy_bytes_[copy.number_offset], number);
  }
}

Fragment* TranslationCache::fragment_at(uint64_t host_pc) const {
  const uint32_t owner = arena_.owner_of(host_pc);
  return owner == 0 ? nullptr : fragments_[owner - 1].get();
}

TranslationCache::LinkView TranslationCache::link_view(uint32_t link) const {
  CHECK(link < links_.size());
  return {links_[link].from, links_[link].emitted.destination_eip};
}

void TranslationCache::patch(const Link& link, uint64_t destination) {
  const uint64_t field = link.from->code.address + link.emitted.patch_offset;
  store32(arena_.write_view({field}).bytes, static_cast<uint32_t>(destination - (field + 4)));
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

uint32_t TranslationCache::link_within_page(Fragment& fragment, const SafePoint& safe) {
  if (!fragment.key.is_shared()) return 0;
  uint32_t made = 0;
  TranslationKey key = fragment.key;
  for (uint32_t number = fragment.first_link; number < fragment.first_link + fragment.link_count;
       ++number) {
    key.eip = links_[number].emitted.destination_eip;
    if ((key.eip ^ fragment.key.eip) >> 12 != 0 || links_[number].dispatch != 0) continue;
    key.physical = fragment.key.physical + uint64_t{key.eip} - uint64_t{fragment.key.eip};
    Fragment* to = find(key);
    if (to == nullptr || to->crosses_page || to->is_incomplete) continue;
    link(number, *to, safe);
    ++made;
  }
  return made;
}

// mov r8d, destination; jmp to what lies `displacement` from the stub's beginning: shorter than the
// stub it replaces.
void TranslationCache::write_table_stub(uint8_t* stub, uint32_t destination_eip,
                                        uint64_t displacement) {
  std::array<uint8_t, 11> code = {0x41, 0xb8, 0, 0, 0, 0, 0xe9, 0, 0, 0, 0};
  store32(&code[2], destination_eip);
  store32(&code[7], static_cast<uint32_t>(displacement - code.size()));
  std::memcpy(stub, code.data(), code.size());
}

void TranslationCache::link_through_table(uint32_t number, uint64_t dispatch, const SafePoint&) {
  Link& link = links_[number];
  CHECK(link.from != nullptr && link.to == nullptr);
  const uint64_t stub = link.from->code.address + link.emitted.stub_offset;
  write_table_stub(arena_.write_view({stub}).bytes, link.emitted.destination_eip, dispatch - stub);
  link.dispatch = dispatch;
  counters().links_through_table++;
}

void TranslationCache::undo(uint32_t number) {
  Link& link = links_[number];
  if (link.to == nullptr) return;
  remove_incoming(*link.to, number);
  link.to = nullptr;
  if (link.from != nullptr) patch(link, link.from->code.address + link.emitted.stub_offset);
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
  const auto model = models_.find({fragment.key.physical, fragment.key.style});
  if (model != models_.end() && model->second == &fragment) models_.erase(model);
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
  models_.clear();
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
  for (const auto& [key, fragment] : models_) {
    CHECK(fragment->key.physical == key.physical && find(fragment->key) == fragment);
  }
  for (uint32_t number = 0; number < links_.size(); ++number) {
    const Link& link = links_[number];
    if (link.to == nullptr) continue;
    CHECK(link.from != nullptr);
    CHECK(std::count(link.to->incoming.begin(), link.to->incoming.end(), number) == 1);
  }
}

}  // namespace ringshift
