#include "translator/translation_cache.h"

#include <algorithm>
#include <array>
#include <bit>
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

// Fragments in an arena of so many bytes, roughly: chains in the tables stay short.
size_t buckets_for(uint64_t arena_bytes) {
  constexpr uint64_t kBytesOfFragment = 512;
  return std::bit_ceil(arena_bytes / kBytesOfFragment + 1);
}

}  // namespace

TranslationCache::TranslationCache(CodeArena& arena, FragmentObserver& observer)
    : arena_(arena),
      observer_(observer),
      key_buckets_(buckets_for(arena.size())),
      model_buckets_(buckets_for(arena.size())),
      by_key_(ByKey::bucket_traits(key_buckets_.data(), key_buckets_.size())),
      models_(ByModel::bucket_traits(model_buckets_.data(), model_buckets_.size())) {}

Fragment* TranslationCache::find(const TranslationKey& key) const {
  const auto found = by_key_.find(key);
  // The cache lends its fragments to all who may find them.
  return found == by_key_.end() ? nullptr : const_cast<Fragment*>(&*found);
}

Fragment* TranslationCache::publish(const TranslationUnit& unit, const EmittedCode& emitted) {
  if (!arena_.has_room(emitted.bytes.size())) return nullptr;
  Fragment& fragment = originals_.emplace_back();
  fragment.code = arena_.publish(emitted.bytes, static_cast<uint32_t>(originals_.size()));
  fragment.key = unit.key;
  fragment.size = static_cast<uint32_t>(emitted.bytes.size());
  fragment.body_offset = emitted.body;
  fragment.cold_offset = emitted.cold;
  fragment.instruction_count = static_cast<uint32_t>(unit.instructions.size());
  fragment.crosses_page = unit.crosses_page;
  fragment.is_incomplete = unit.instructions.back().instruction.length == 0;
  fragment.pieces.resize(unit.pieces.size());
  for (size_t i = 0; i < unit.pieces.size(); ++i) fragment.pieces[i].piece = unit.pieces[i];
  const auto shape = new FragmentShape;
  fragment.shape.reset(shape);
  shape->recovery = emitted.recovery;
  if (unit.key.is_shared() && !fragment.crosses_page && !fragment.is_incomplete &&
      is_inner_page(unit.key.eip)) {
    shape->relocations = emitted.relocations;
  }
  fragment.first_link = next_link();
  fragment.link_count = static_cast<uint32_t>(emitted.links.size());
  for (const EmittedLink& link : emitted.links) links_.add(FragmentKind::Original, fragment, link);
  enter(fragment);
  if (!shape->relocations.empty()) fragment.is_model = models_.insert(fragment).second;
  return &fragment;
}

// From now on it can be found, by its key and by its guest bytes.
void TranslationCache::enter(Fragment& fragment) {
  const auto kind = static_cast<size_t>(kind_of(fragment));
  for (PageMember& member : fragment.pieces) {
    const GuestPhysical at = member.piece.physical;
    PageCode& code = pages_[GuestPhysicalPage::of(at)];
    if (code.empty()) code.granules = 0;  // a page without any starts anew
    code.granules |= granules_of(at.offset_in_page(), member.piece.length);
    member.fragment = &fragment;
    code.members[kind].push_back(member);
  }
  by_key_.insert(fragment);
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

const Fragment* TranslationCache::model_for(const TranslationKey& key) const {
  if (!key.is_shared() || !is_inner_page(key.eip)) return nullptr;
  const auto found = models_.find(ModelKey{key.physical, key.style});
  if (found == models_.end() || !is_ordered_alike(*found, key.eip - found->key.eip)) return nullptr;
  return &*found;
}

Fragment& TranslationCache::copy(const Fragment& model, const TranslationKey& key) {
  Fragment& copy = copies_.emplace_back();
  const auto owner = static_cast<uint32_t>(copies_.size()) | kCopyNumber;
  copy.code = arena_.reserve_at_top(model.size, owner);
  copy.key = key;
  copy.size = model.size;
  copy.body_offset = model.body_offset;
  copy.cold_offset = model.cold_offset;
  copy.instruction_count = model.instruction_count;
  copy.is_copy = true;
  copy.moved_by = key.eip - model.key.eip;
  copy.shape = model.shape;
  copy.pieces.resize(model.pieces.size());
  for (size_t i = 0; i < model.pieces.size(); ++i) {
    copy.pieces[i].piece = model.pieces[i].piece;
    copy.pieces[i].piece.eip += copy.moved_by;
  }
  copy.first_link = links_.next(FragmentKind::Copy);
  copy.link_count = model.link_count;
  for (uint32_t i = 0; i < model.link_count; ++i) {
    Link link = links_[model.first_link + i];
    link.emitted.destination_eip += copy.moved_by;
    if (link.dispatch != 0) link.emitted.number_offset = 0;
    links_.add(FragmentKind::Copy, copy, link.emitted);
  }
  copy_code(model, copy);
  enter(copy);
  return copy;
}

void TranslationCache::copy_code(const Fragment& model, const Fragment& copy) {
  uint8_t* const bytes = arena_.write_view(copy.code).bytes;
  std::memcpy(bytes, arena_.write_view(model.code).bytes, model.size);
  const auto farther = static_cast<uint32_t>(copy.code.address - model.code.address);
  for (const Relocation& relocation : model.shape->relocations) {
    uint8_t* const field = bytes + relocation.offset;
    switch (relocation.kind) {
      case RelocationKind::Eip:
        store32(field, load32(field) + copy.moved_by);
        break;
      case RelocationKind::NegatedEip:
        store32(field, load32(field) - copy.moved_by);
        break;
      case RelocationKind::ToStub:
        store32(field, load32(field) - farther);
        break;
    }
  }
  for (uint32_t i = 0; i < copy.link_count; ++i) {
    links_[copy.first_link + i].dispatch = links_[model.first_link + i].dispatch;
    copy_link(copy.first_link + i, bytes);
  }
}

// The copy's branch leads to its own stub again, which bears its own number.
void TranslationCache::copy_link(uint32_t number, uint8_t* bytes) {
  const Link& link = links_[number];
  const EmittedLink& emitted = link.emitted;
  store32(bytes + emitted.patch_offset, emitted.stub_offset - (emitted.patch_offset + 4));
  if (link.dispatch != 0) {
    const uint64_t stub = link.from->code.address + emitted.stub_offset;
    write_table_stub(bytes + emitted.stub_offset, emitted.destination_eip, link.dispatch - stub);
  } else if (emitted.number_offset != 0) {
    store32(bytes + emitted.number_offset, number);
  }
}

Fragment* TranslationCache::fragment_at(uint64_t host_pc) const {
  const uint32_t owner = arena_.owner_of(host_pc);
  if (owner == 0) return nullptr;
  const uint32_t index = (owner & ~kCopyNumber) - 1;
  const Fragment& fragment = (owner & kCopyNumber) != 0 ? copies_[index] : originals_[index];
  return fragment.is_dropped ? nullptr : const_cast<Fragment*>(&fragment);
}

TranslationCache::LinkView TranslationCache::link_view(uint32_t link) const {
  CHECK(links_.has(link));
  return {links_[link].from, links_[link].emitted.destination_eip};
}

uint32_t TranslationCache::links_to(const Fragment& fragment) const {
  uint32_t count = 0;
  for (uint32_t i = fragment.first_incoming; i != kNoLink; i = links_[i].next_incoming) ++count;
  return count;
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
  links_.connect(number, to);
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
  const Link& link = links_[number];
  if (link.to == nullptr) return;
  links_.disconnect(number);
  patch(link, link.from->code.address + link.emitted.stub_offset);
  counters().links_undone++;
}

void TranslationCache::unlink_all(const SafePoint&) {
  links_.for_each_number([this](uint32_t number) { undo(number); });
}

bool TranslationCache::has_code(GuestPhysicalPage page) const {
  const auto it = pages_.find(page);
  return it != pages_.end() && !it->second.empty();
}

bool TranslationCache::may_hold_code(GuestPhysical address, uint32_t length) const {
  const auto it = pages_.find(GuestPhysicalPage::of(address));
  return it != pages_.end() &&
         (it->second.granules & granules_of(address.offset_in_page(), length)) != 0;
}

template <typename Predicate>
uint32_t TranslationCache::drop_from_page(GuestPhysicalPage page, Predicate concerns,
                                          const SafePoint& safe) {
  const auto it = pages_.find(page);
  if (it == pages_.end()) return 0;
  // The pieces of a fragment that lie in one page are next to each other on its list.
  std::vector<Fragment*> concerned;
  for (const PageMembers& members : it->second.members) {
    for (const PageMember& member : members) {
      const bool known = !concerned.empty() && concerned.back() == member.fragment;
      if (!known && concerns(member)) concerned.push_back(member.fragment);
    }
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
  for (Fragment& fragment : by_key_) {
    for (const PageMember& member : fragment.pieces) {
      if (!member.piece.holds(eip)) continue;
      concerned.push_back(&fragment);
      break;
    }
  }
  for (Fragment* fragment : concerned) drop(*fragment, safe);
}

void TranslationCache::drop(Fragment& fragment, const SafePoint&) {
  observer_.on_fragment_dropped(fragment);
  while (fragment.first_incoming != kNoLink) undo(fragment.first_incoming);
  for (uint32_t i = 0; i < fragment.link_count; ++i) {
    const uint32_t number = fragment.first_link + i;
    undo(number);
    links_[number].from = nullptr;
  }
  by_key_.erase(by_key_.iterator_to(fragment));
  if (fragment.is_model) models_.erase(models_.iterator_to(fragment));
  const auto kind = static_cast<size_t>(kind_of(fragment));
  for (PageMember& member : fragment.pieces) {
    PageMembers& members = pages_.at(GuestPhysicalPage::of(member.piece.physical)).members[kind];
    members.erase(members.iterator_to(member));
  }
  counters().fragments_dropped++;
  // Its code stays in the arena, unreachable, until all of its kind goes (T3), and so does its
  // record, empty.
  fragment.is_dropped = true;
  fragment.pieces.clear();
  fragment.shape.reset();
}

// Nothing that stays leads to it, or is told of by it, any more. Its page forgets it later.
void TranslationCache::forget_copy(Fragment& copy) {
  for (uint32_t number = copy.first_incoming; number != kNoLink;) {
    const uint32_t next = links_[number].next_incoming;
    if (!LinkTable::is_of_copy(number)) undo(number);
    number = next;
  }
  for (uint32_t i = 0; i < copy.link_count; ++i) {
    const Link& link = links_[copy.first_link + i];
    if (link.to != nullptr && !link.to->is_copy) links_.disconnect(copy.first_link + i);
  }
  by_key_.erase(by_key_.iterator_to(copy));
  counters().fragments_dropped++;
}

void TranslationCache::drop_copies(const SafePoint&) {
  observer_.on_copies_dropped();
  for (Fragment& copy : copies_) {
    if (!copy.is_dropped) forget_copy(copy);
  }
  for (auto& [page, code] : pages_) code.members[static_cast<size_t>(FragmentKind::Copy)].clear();
  counters().copy_flushes++;
  copies_.clear();
  links_.clear(FragmentKind::Copy);
  ++epoch_;
  arena_.reset_top();
}

void TranslationCache::drop_all(const SafePoint&) {
  observer_.on_all_dropped();
  counters().fragments_dropped += by_key_.size();
  counters().cache_flushes++;
  by_key_.clear();
  models_.clear();
  pages_.clear();
  originals_.clear();
  copies_.clear();
  links_.clear(FragmentKind::Original);
  links_.clear(FragmentKind::Copy);
  ++epoch_;
  arena_.reset();
}

void TranslationCache::verify_invariants() const {
  for (const Fragment& fragment : by_key_) {
    CHECK(!fragment.is_dropped);
    CHECK(fragment_at(fragment.code.address) == &fragment);
    CHECK(!fragment.pieces.empty());
    for (const PageMember& member : fragment.pieces) {
      const CodePiece& piece = member.piece;
      CHECK(has_code(GuestPhysicalPage::of(piece.physical)));
      CHECK(piece.length == 0 || may_hold_code(piece.physical, piece.length));
    }
    for (uint32_t i = 0; i < fragment.link_count; ++i) {
      CHECK(links_[fragment.first_link + i].from == &fragment);
    }
  }
  for (const Fragment& model : models_) {
    CHECK(model.is_model && !model.is_copy && find(model.key) == &model);
  }
  for (const auto& [page, code] : pages_) {
    for (const PageMembers& members : code.members) {
      for (const PageMember& member : members) CHECK(find(member.fragment->key) == member.fragment);
    }
  }
  links_.verify_invariants();
}

}  // namespace ringshift
