// The part of TranslationCache that makes copies at other linear addresses.
#include <algorithm>
#include <cstring>

#include "shadowmmu/base/counters.h"
#include "translator/code_patch.h"
#include "translator/frame.h"
#include "translator/translation_cache.h"

namespace ringshift {
namespace {

// Fewer are as well copied one by one.
constexpr uint32_t kWorthwhileModels = 4;

// Neither the first of linear space, as minus such an EIP takes 32 bits to encode, nor where
// returns are checked in another way.
bool is_inner_page(Eip eip) {
  return eip.value() >> 12 != 0 && eip.page_base() + kPageSize < kFirstUnguardedReturn;
}

// Corrects `field` for a move in linear space and on the host.
void relocate(uint8_t* field, RelocationKind kind, uint32_t moved_by, uint32_t host_moved_by) {
  switch (kind) {
    case RelocationKind::EipPlain:
      return store32(field, load32(field) + moved_by);
    case RelocationKind::EipNegated:
      return store32(field, load32(field) - moved_by);
    case RelocationKind::ToStub:
      return store32(field, load32(field) - host_moved_by);
  }
}

// The displacement in a branch's code at `code`, to what lies `offset` bytes from there.
void lead(uint8_t* code, const EmittedLink& link, uint32_t offset) {
  store32(code + link.patch_offset, offset - (link.patch_offset + 4));
}

}  // namespace

bool TranslationCache::may_be_copied(Eip eip) { return is_inner_page(eip); }

const Fragment* TranslationCache::model_for(const TranslationKey& key) const {
  if (!key.is_shared() || !key.mode.is_flat() || !is_inner_page(key.eip)) return nullptr;
  const auto found = models_.find(ModelKey{key.physical, key.style});
  return found == models_.end() ? nullptr : &*found;
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
    relocate(bytes + relocation.offset, relocation.kind, copy.moved_by, farther);
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
  lead(bytes, emitted, emitted.stub_offset);
  if (link.dispatch != 0) {
    const uint64_t stub = link.from->code.address + emitted.stub_offset;
    write_table_stub(bytes + emitted.stub_offset, emitted.destination_eip, link.dispatch - stub);
  } else if (emitted.number_offset != 0) {
    store32(bytes + emitted.number_offset, number);
  }
}

// ---- a whole page at once ----

TranslationCache::PageCode::Styled& TranslationCache::styled_of(const TranslationKey& key) {
  return pages_[GuestPhysicalPage::of(key.physical)].styled[static_cast<size_t>(key.style)];
}

void TranslationCache::note_place(const Fragment& fragment) {
  std::vector<GuestVirtualPage>& places =
      styled_of(fragment.key).places[static_cast<size_t>(kind_of(fragment))];
  const GuestVirtualPage page = GuestVirtualPage::of(flat_address(fragment.key.eip));
  if (!places.empty() && places.back() == page) return;
  if (std::find(places.begin(), places.end(), page) == places.end()) places.push_back(page);
}

const PageTemplate* TranslationCache::template_for(const TranslationKey& key) {
  constexpr uint32_t kLargestShare = 8;
  if (!key.is_shared() || !key.mode.is_flat() || !is_inner_page(key.eip)) return nullptr;
  const auto found = pages_.find(GuestPhysicalPage::of(key.physical));
  if (found == pages_.end()) return nullptr;
  PageCode::Styled& styled = found->second.styled[static_cast<size_t>(key.style)];
  if (styled.models < kWorthwhileModels) return nullptr;
  const GuestVirtualPage page = GuestVirtualPage::of(flat_address(key.eip));
  for (const auto& places : styled.places) {
    if (std::find(places.begin(), places.end(), page) != places.end()) return nullptr;
  }
  // One that lacks a few serves: they are copied one by one.
  const PageTemplate* made = styled.page_template.get();
  if (made == nullptr || styled.models > made->models + made->models / 4) {
    styled.page_template = make_template(key);
    styled.page_template->models = styled.models;
  }
  const uint64_t bytes = styled.page_template->bytes.size();
  return bytes == 0 || bytes > arena_.size() / kLargestShare ? nullptr : styled.page_template.get();
}

std::unique_ptr<PageTemplate> TranslationCache::make_template(const TranslationKey& key) const {
  auto made = std::make_unique<PageTemplate>();
  std::unordered_map<uint32_t, uint32_t> entries;  // by EIP less the page's address
  const auto& members = pages_.at(GuestPhysicalPage::of(key.physical)).members;
  for (const PageMember& member : members[static_cast<size_t>(FragmentKind::Original)]) {
    const Fragment& model = *member.fragment;
    const bool is_first = &member == model.pieces.data();
    if (!is_first || !model.is_model || model.key.style != key.style) continue;
    if (add_to_template(model, made.get())) {
      entries.emplace(model.key.physical.offset_in_page(), made->entries.size() - 1);
    }
  }
  for (const PageTemplate::Entry& entry : made->entries) {
    for (uint32_t i = 0; i < entry.branch_count; ++i) {
      PageTemplate::Branch& branch = made->branches[entry.first_branch + i];
      const auto to = entries.find(branch.emitted.destination_eip.value());
      if (to == entries.end()) continue;
      const PageTemplate::Entry& target = made->entries[to->second];
      branch.leads_to = to->second;
      lead(&made->bytes[entry.place], branch.emitted,
           target.place + target.body_offset - entry.place);
    }
  }
  return made;
}

// False: one of its branches has been turned to the jump table since it was emitted.
bool TranslationCache::add_to_template(const Fragment& model, PageTemplate* made) const {
  const uint32_t page = model.key.eip.page_base().value();
  for (uint32_t i = 0; i < model.link_count; ++i) {
    if (links_[model.first_link + i].dispatch != 0) return false;
  }
  PageTemplate::Entry& entry = made->entries.emplace_back();
  entry.physical = model.key.physical;
  entry.eip = model.key.eip - page;
  entry.place = static_cast<uint32_t>(made->bytes.size());
  entry.size = model.size;
  entry.body_offset = model.body_offset;
  entry.cold_offset = model.cold_offset;
  entry.instruction_count = model.instruction_count;
  entry.shape_eip = model.key.eip;
  entry.shape = model.shape;
  entry.first_branch = static_cast<uint32_t>(made->branches.size());
  entry.branch_count = model.link_count;
  entry.first_piece = static_cast<uint32_t>(made->pieces.size());
  entry.piece_count = static_cast<uint32_t>(model.pieces.size());
  for (const PageMember& member : model.pieces) {
    made->pieces.push_back(member.piece);
    made->pieces.back().eip -= page;
  }

  const uint8_t* const from = arena_.write_view(model.code).bytes;
  made->bytes.insert(made->bytes.end(), from, from + model.size);
  made->bytes.resize((made->bytes.size() + CodeArena::kGranule - 1) / CodeArena::kGranule *
                     CodeArena::kGranule);
  uint8_t* const code = &made->bytes[entry.place];
  const auto farther = static_cast<uint32_t>(entry.place - model.code.address);
  for (const Relocation& relocation : model.shape->relocations) {
    relocate(code + relocation.offset, relocation.kind, 0U - page, farther);
    made->relocations.push_back({entry.place + relocation.offset, relocation.kind});
  }
  for (uint32_t i = 0; i < model.link_count; ++i) {
    PageTemplate::Branch branch;
    branch.emitted = links_[model.first_link + i].emitted;
    branch.emitted.destination_eip -= page;
    lead(code, branch.emitted, branch.emitted.stub_offset);
    made->branches.push_back(branch);
  }
  return true;
}

const std::vector<Fragment*>& TranslationCache::copy_page(const PageTemplate& page,
                                                          const TranslationKey& key) {
  const uint32_t moved_by = key.eip.page_base().value();
  const CodeExecuteView at = arena_.reserve_at_top(page.bytes.size(), 0);
  uint8_t* const bytes = arena_.write_view(at).bytes;
  std::memcpy(bytes, page.bytes.data(), page.bytes.size());
  for (const Relocation& relocation : page.relocations) {
    relocate(bytes + relocation.offset, relocation.kind, moved_by,
             static_cast<uint32_t>(at.address));
  }
  page_copies_.clear();
  for (const PageTemplate::Entry& entry : page.entries) {
    page_copies_.push_back(&copy_entry(page, entry, at, key));
  }
  for (size_t i = 0; i < page.entries.size(); ++i) {
    join_entry(page, page.entries[i], *page_copies_[i]);
  }
  return page_copies_;
}

Fragment& TranslationCache::copy_entry(const PageTemplate& page, const PageTemplate::Entry& entry,
                                       CodeExecuteView at, const TranslationKey& key) {
  const uint32_t moved_by = key.eip.page_base().value();
  const Eip eip = entry.eip + moved_by;
  Fragment& copy = copies_.emplace_back();
  copy.key = key;
  copy.key.eip = eip;
  copy.key.physical = entry.physical;
  copy.code = {at.address + entry.place};
  copy.size = entry.size;
  copy.body_offset = entry.body_offset;
  copy.cold_offset = entry.cold_offset;
  copy.instruction_count = entry.instruction_count;
  copy.is_copy = true;
  copy.moved_by = eip - entry.shape_eip;
  copy.shape = entry.shape;
  copy.pieces.resize(entry.piece_count);
  for (uint32_t i = 0; i < entry.piece_count; ++i) {
    copy.pieces[i].piece = page.pieces[entry.first_piece + i];
    copy.pieces[i].piece.eip += moved_by;
  }
  copy.first_link = links_.next(FragmentKind::Copy);
  copy.link_count = entry.branch_count;
  for (uint32_t i = 0; i < entry.branch_count; ++i) {
    EmittedLink link = page.branches[entry.first_branch + i].emitted;
    link.destination_eip += moved_by;
    links_.add(FragmentKind::Copy, copy, link);
  }
  arena_.set_owner(copy.code, copy.size, static_cast<uint32_t>(copies_.size()) | kCopyNumber);
  enter(copy);
  return copy;
}

// Its links as the template's code has them, and their numbers in its stubs.
void TranslationCache::join_entry(const PageTemplate& page, const PageTemplate::Entry& entry,
                                  Fragment& copy) {
  uint8_t* const code = arena_.write_view(copy.code).bytes;
  for (uint32_t i = 0; i < entry.branch_count; ++i) {
    const PageTemplate::Branch& branch = page.branches[entry.first_branch + i];
    const uint32_t number = copy.first_link + i;
    if (branch.emitted.number_offset != 0) store32(code + branch.emitted.number_offset, number);
    if (branch.leads_to == PageTemplate::kNoEntry) continue;
    links_.connect(number, *page_copies_[branch.leads_to]);
    counters().links_made++;
    counters().links_within_page++;
  }
}

}  // namespace ringshift
