#include "translator/translator.h"

#include <x86intrin.h>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"
#include "translator/emit.h"

namespace ringshift {

std::unique_ptr<Translator> Translator::create(const TranslatorConfig& config, CodeSource& source,
                                               CodeTraces& traces, const SoftSites& soft_sites,
                                               FragmentObserver& observer, std::string* error) {
  std::unique_ptr<CodeArena> arena = CodeArena::create(
      config.arena_bytes, error, config.perf_map ? ArenaBacking::Anonymous : ArenaBacking::File);
  if (arena == nullptr) return nullptr;
  auto translator = std::unique_ptr<Translator>(
      new Translator(config, std::move(arena), source, traces, soft_sites, observer));
  if (config.perf_map && !translator->open_perf_map(error)) return nullptr;
  return translator;
}

bool Translator::open_perf_map(std::string* error) {
  perf_map_ = PerfMap::create(PerfMap::path_of_this_process(), error);
  if (perf_map_ == nullptr) return false;
  perf_map_->add_stubs(stubs_);
  return true;
}

Translator::Translator(const TranslatorConfig& config, std::unique_ptr<CodeArena> arena,
                       CodeSource& source, CodeTraces& traces, const SoftSites& soft_sites,
                       FragmentObserver& observer)
    : config_(config),
      arena_(std::move(arena)),
      stubs_(emit_stubs(*arena_, config.features.counts_events)),
      cache_(*arena_, observer),
      emitter_(std::make_unique<Emitter>(stubs_, config.features.event_nanoseconds)),
      source_(source),
      traces_(traces),
      soft_sites_(soft_sites) {}

Fragment* Translator::ensure(const TranslationKey& key, const SafePoint& safe) {
  const size_t known = cache_.size();
  Fragment* fragment = &find_or_make(key, safe);
  if (config_.make_links && cache_.size() != known) {
    counters().links_within_page += cache_.link_within_page(*fragment, safe);
  }
  if (fragment->crosses_page && !second_page_holds(*fragment)) {
    cache_.drop(*fragment, safe);
    fragment = &find_or_make(key, safe);
  }
  if (!fragment->is_incomplete) return fragment;
  cache_.drop(*fragment, safe);
  return nullptr;
}

// Does the page that a page-crossing fragment ends on still lie where its bytes came from?
bool Translator::second_page_holds(const Fragment& fragment) const {
  GuestPhysical physical;
  const GuestVirtual end = fragment.key.mode.linear(fragment.key.eip) + kPageSize;
  return !source_.code_at(end.page_base(), fragment.key.privilege, &physical).empty() &&
         GuestPhysicalPage::of(physical) == fragment.second_page();
}

// User code that address spaces share is linked within one linear page only: another page may be
// another frame in another space, so such a branch goes through the view's jump table.
Translator::Connection Translator::connect(const PendingLink& pending, Fragment& to,
                                           const SafePoint& safe) {
  if (pending.link == kNoLink || !config_.make_links) return Connection::None;
  if (pending.epoch != cache_.epoch()) return Connection::None;
  const TranslationCache::LinkView link = cache_.link_view(pending.link);
  if (link.from == nullptr || link.destination_eip != to.key.eip) return Connection::None;
  const TranslationKey& from = link.from->key;
  if (from.privilege != to.key.privilege || from.style != to.key.style ||
      from.view != to.key.view || from.mode != to.key.mode) {
    return Connection::None;
  }
  const bool stays_in_reach =
      from.may_reach(to.key.eip) && !(to.key.is_shared() && to.crosses_page);
  if (stays_in_reach) {
    cache_.link(pending.link, to, safe);
    return Connection::Direct;
  }
  cache_.link_through_table(pending.link, stubs_.dispatch, safe);
  return Connection::ThroughTable;
}

Translator::~Translator() = default;

// The whole pipeline. Bytes go in through source_, host code comes out of the cache.
Fragment& Translator::find_or_make(const TranslationKey& key, const SafePoint& safe) {
  if (Fragment* found = cache_.find(key)) return *found;
  const uint64_t started = __rdtsc();
  if (Fragment* copy = copy_for(key, safe)) {
    counters().relocate_cycles += __rdtsc() - started;
    return *copy;
  }
  plan(key, source_, soft_sites_, config_.features, config_.limits, &unit_);
  ensure_traces();
  last_emitted_ = &emitter_->emit(unit_, arena_->next(), cache_.next_link());
  if (!arena_->has_room(last_emitted_->bytes.size())) {
    make_room(last_emitted_->bytes.size(), safe);
    ensure_traces();
    last_emitted_ = &emitter_->emit(unit_, arena_->next(), cache_.next_link());
  }
  Fragment* fragment = cache_.publish(unit_, *last_emitted_);
  CHECK(fragment != nullptr);  // an empty arena holds the largest unit
  count_treatments();
  if (perf_map_ != nullptr) perf_map_->add(*fragment, unit_);
  counters().translate_cycles += __rdtsc() - started;
  return *fragment;
}

// Copies are cheap to make again; their originals are not.
void Translator::make_room(uint64_t bytes, const SafePoint& safe) {
  constexpr uint64_t kWorthwhileShare = 4;
  if (arena_->used_at_top() >= arena_->size() / kWorthwhileShare) cache_.drop_copies(safe);
  if (!arena_->has_room(bytes)) cache_.drop_all(safe);
}

Fragment* Translator::copy_for(const TranslationKey& key, const SafePoint& safe) {
  if (!may_copy()) return nullptr;
  if (config_.join_copies) {
    if (Fragment* copy = copy_page_for(key, safe)) return copy;
  }
  const Fragment* model = cache_.model_for(key);
  if (model == nullptr) return nullptr;
  if (!arena_->has_room(model->size)) {
    make_room(model->size, safe);
    model = cache_.model_for(key);
    if (model == nullptr) return nullptr;
  }
  Fragment& copy = cache_.copy(*model, key);
  count_copy(copy);
  return &copy;
}

Fragment* Translator::copy_page_for(const TranslationKey& key, const SafePoint& safe) {
  const PageTemplate* page = cache_.template_for(key);
  if (page == nullptr) return nullptr;
  if (!arena_->has_room(page->bytes.size())) {
    make_room(page->bytes.size(), safe);
    page = cache_.template_for(key);
    if (page == nullptr || !arena_->has_room(page->bytes.size())) return nullptr;
  }
  for (const Fragment* copy : cache_.copy_page(*page, key)) count_copy(*copy);
  return cache_.find(key);
}

void Translator::count_copy(const Fragment& copy) const {
  counters().units_relocated++;
  counters().instructions_relocated += copy.instruction_count;
  if (perf_map_ != nullptr) perf_map_->add_copy(copy);
}

// A copy would begin instructions wherever its model does (T7).
bool Translator::may_copy() const { return config_.relocate && source_.kept_out() == nullptr; }

void Translator::ensure_traces() {
  for (const CodePiece& piece : unit_.pieces) {
    traces_.ensure_code_trace(piece.physical, piece.length);
  }
}

void Translator::count_treatments() const {
  Counters& count = counters();
  count.units_translated++;
  count.instructions_translated += unit_.instructions.size();
  for (const UnitInstruction& instruction : unit_.instructions) {
    switch (instruction.treatment) {
      case Treatment::Identical:
        count.treatment_identical++;
        break;
      case Treatment::Memory:
        count.treatment_memory++;
        break;
      case Treatment::DirectBranch:
        count.treatment_direct_branch++;
        break;
      case Treatment::IndirectBranch:
        count.treatment_indirect_branch++;
        break;
      case Treatment::Inline:
        count.treatment_inline++;
        break;
      case Treatment::Callout:
        count.treatment_callout++;
        break;
      case Treatment::Interpret:
        count.treatment_interpret++;
        break;
    }
  }
}

}  // namespace ringshift
