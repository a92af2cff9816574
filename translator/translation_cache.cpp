#include "translator/translation_cache.h"

#include <algorithm>
#include <array>
#include <bit>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"
#include "translator/code_patch.h"

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
  const boost::intrusive_ptr<FragmentShape> shape(new FragmentShape);
  fragment.shape = shape;
  shape->recovery = emitted.recovery;
  if (unit.key.is_shared() && unit.key.mode.is_flat() && !fragment.crosses_page &&
      !fragment.is_incomplete && may_be_copied(unit.key.eip)) {
    shape->relocations = emitted.relocations;
  }
  fragment.first_link = next_link();
  fragment.link_count = static_cast<uint32_t>(emitted.links.size());
  for (const EmittedLink& link : emitted.links) links_.add(FragmentKind::Original, fragment, link);
  enter(fragment);
  if (shape->relocations.empty()) return &fragment;
  fragment.is_model = models_.insert(fragment).second;
  if (fragment.is_model) ++styled_of(fragment.key).models;
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
  if (fragment.key.is_shared() && fragment.key.mode.is_flat()) note_place(fragment);
  const bool is_new = by_key_.insert(fragment).second;
  CHECK(is_new);
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
    if (!fragment.key.may_reach(key.eip) || links_[number].dispatch != 0) continue;
    if (links_[number].to != nullptr) continue;  // it came joined
    key.physical = fragment.key.physical.page_base() + key.mode.linear(key.eip).offset_in_page();
    Fragment* to = find(key);
    if (to == nullptr || to->crosses_page || to->is_incomplete) continue;
    link(number, *to, safe);
    ++made;
  }
  return made;
}

// mov r8d, destination; jmp to what lies `displacement` from the stub's beginning: shorter than the
// stub it replaces.
void TranslationCache::write_table_stub(uint8_t* stub, Eip destination_eip, uint64_t displacement) {
  std::array<uint8_t, 11> code = {0x41, 0xb8, 0, 0, 0, 0, 0xe9, 0, 0, 0, 0};
  store32(&code[2], destination_eip.value());
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

void TranslationCache::add_code_bytes(GuestPhysicalPage page, CodeBytes* bytes) const {
  const auto it = pages_.find(page);
  if (it == pages_.end()) return;
  for (const PageMembers& members : it->second.members) {
    for (const PageMember& member : members) {
      bytes->add(member.piece.physical.offset_in_page(), member.piece.length);
    }
  }
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
               GuestVirtualPage::of(member.fragment->key.mode.linear(member.piece.eip)) == linear;
      },
      safe);
}

void TranslationCache::drop_with_code_at(GuestVirtual linear, const SafePoint& safe) {
  std::vector<Fragment*> concerned;
  for (Fragment& fragment : by_key_) {
    const Eip eip(linear.value() - fragment.key.mode.base);
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
  if (fragment.is_model) {
    models_.erase(models_.iterator_to(fragment));
    PageCode::Styled& styled = styled_of(fragment.key);
    --styled.models;
    styled.page_template.reset();
  }
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
  constexpr auto kCopies = static_cast<size_t>(FragmentKind::Copy);
  for (auto& [page, code] : pages_) {
    code.members[kCopies].clear();
    for (PageCode::Styled& styled : code.styled) styled.places[kCopies].clear();
  }
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
