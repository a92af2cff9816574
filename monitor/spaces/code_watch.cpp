#include "monitor/spaces/code_watch.h"

#include <algorithm>
#include <unordered_set>

#include "shadowmmu/base/counters.h"
#include "shadowmmu/shadow_space.h"

namespace ringshift {

void CodeWatch::trace(GuestPhysicalPage page, TraceReason reason) {
  const bool had_code = traces_.is_traced_for_code(page);
  if (!traces_.add(page, reason)) return;
  if (had_code) return end_code_bytes(page);
  counters().traces_code++;
  end_write_paths(page);
}

void CodeWatch::ensure_code_trace(GuestPhysical first, uint32_t length) {
  const GuestPhysicalPage page = GuestPhysicalPage::of(first);
  trace(page, TraceReason::TranslatedCode);
  if (CodeBytes* bytes = written_code_.find(page)) bytes->add(first.offset_in_page(), length);
}

void CodeWatch::trace_table(GuestPhysicalPage page, uint64_t content) {
  const bool was_traced = traces_.is_traced(page);
  if (!traces_.add(page, TraceReason::PageTable)) return;
  if (!was_traced) end_write_paths(page);
  end_code_bytes(page);
  tables_.begin(page, content);
}

// ---- stores beside code ----

const CodeBytes* CodeWatch::code_bytes(GuestPhysicalPage page) {
  const bool is_code_alone = traces_.is_traced_for(page, TraceReason::TranslatedCode) &&
                             !traces_.is_traced_for(page, TraceReason::DirectCode) &&
                             !traces_.is_traced_for(page, TraceReason::PageTable);
  if (!is_code_alone || holder_ == nullptr || !holder_->has_code(page)) return nullptr;
  if (const CodeBytes* known = written_code_.find(page)) return known;
  if (const auto before = written_code_.begin(page)) holder_->forget_write_paths(*before);
  CodeBytes* bytes = written_code_.find(page);
  holder_->add_code_bytes(page, bytes);
  return bytes;
}

bool CodeWatch::are_code_bytes(GuestPhysicalPage page, uint64_t base,
                               GuestVirtualPage linear) const {
  const CodeBytes* bytes = written_code_.find(page);
  return bytes != nullptr && bytes->base_for(linear) == base &&
         !traces_.is_traced_for(page, TraceReason::DirectCode) &&
         !traces_.is_traced_for(page, TraceReason::PageTable);
}

void CodeWatch::end_code_bytes(GuestPhysicalPage page) {
  if (written_code_.end(page) && holder_ != nullptr) holder_->forget_write_paths(page);
}

// Code that has been dropped frees its bytes.
void CodeWatch::refresh(GuestPhysicalPage page, CodeBytes* bytes) const {
  bytes->clear();
  if (holder_ != nullptr) holder_->add_code_bytes(page, bytes);
}

// Soft stores to a page table have a path of their own, which ends when the page has code besides.
void CodeWatch::end_write_paths(GuestPhysicalPage page) {
  ShadowSpace::protect_all(reverse_.of(page));
  if (holder_ != nullptr) holder_->forget_write_paths(page);
}

void CodeWatch::on_write(GuestPhysical address, uint32_t length) {
  const GuestPhysicalPage page = GuestPhysicalPage::of(address);
  // A and D, which the walker sets: what is kept of a table leaves them out, code does not.
  const bool is_entry_bits = length == 0;
  if (is_entry_bits) {
    length = sizeof(uint32_t);
  } else {
    tables_.note_write(page);
  }
  if (!traces_.is_traced_for_code(page)) return;
  counters().trace_writes_code++;
  // Data beside translated code: stacks and variables of programs that were never meant to be
  // paged. A page that has no code any more loses its trace; one that may run directly is examined
  // anew.
  const bool is_beside_code =
      holder_ != nullptr && holder_->has_code(page) && !holder_->may_hold_code(address, length);
  if (is_beside_code && !traces_.is_traced_for(page, TraceReason::DirectCode)) {
    CodeBytes* bytes = written_code_.find(page);
    if (bytes != nullptr && bytes->has_any(address.offset_in_page(), length)) refresh(page, bytes);
    return;
  }
  if (!pending_.empty()) {
    Write& last = pending_.back();
    const bool continues =
        last.address + last.length == address && GuestPhysicalPage::of(last.address) == page;
    if (continues) {
      last.length += length;
      return;
    }
  }
  if (pending_.size() >= most_pending_) merge_pending();
  pending_.push_back({address, length});
}

// Paths that read find the same bytes where they were; those that write exist for own pages only.
void CodeWatch::on_moved(const PageRange& pages, Backing now) {
  ShadowSpace::follow_all(reverse_, pages, now);
  if (now == Backing::Own || holder_ == nullptr) return;
  for (uint32_t i = 0; i < pages.pages; ++i) holder_->forget_write_paths(pages.first + i);
}

bool CodeWatch::is_shown_outside(GuestPhysicalPage page) {
  const ShadowMappings& mappings = reverse_.of(page);
  return std::any_of(mappings.begin(), mappings.end(),
                     [](const ShadowMapping& mapping) { return mapping.space->shows_own_only(); });
}

// Interpreted code may write for long before the next safe point that applies: then whole pages.
void CodeWatch::merge_pending() {
  std::unordered_set<GuestPhysicalPage> pages;
  for (const Write& write : pending_) pages.insert(GuestPhysicalPage::of(write.address));
  pending_.clear();
  for (const GuestPhysicalPage page : pages) pending_.push_back({page.address(), kPageSize});
  // More pages than entries: they are as few as the guest has pages of code.
  most_pending_ = std::max(kMostPending, 2 * pending_.size());
}

void CodeWatch::apply(const SafePoint& safe) {
  for (const Write& write : pending_) {
    const GuestPhysicalPage page = GuestPhysicalPage::of(write.address);
    const bool had_code = holder_ != nullptr && holder_->has_code(page);
    if (holder_ != nullptr) holder_->drop_code(write.address, write.length, safe);
    CodeBytes* bytes = written_code_.find(page);
    if (bytes != nullptr) refresh(page, bytes);
    // A guest that writes code will run it soon. A second write that is seen finds no code, and
    // ends the trace.
    const bool is_awaited = had_code && bytes != nullptr;
    if (!is_awaited && (holder_ == nullptr || !holder_->has_code(page))) {
      traces_.remove(page, TraceReason::TranslatedCode);
    }
    revoke_direct_execution(page);
  }
  pending_.clear();
}

void CodeWatch::revoke_direct_execution(GuestPhysicalPage page) {
  if (!traces_.is_traced_for_code(page)) return;
  ShadowSpace::revoke_execution_all(reverse_.of(page));
  traces_.remove(page, TraceReason::DirectCode);
}

}  // namespace ringshift
