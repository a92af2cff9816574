// Translator: the pipeline in one function: find, else plan -> trace -> emit -> publish. Owns:
// arena, stubs, cache and the stages' storage. Does not own: guest memory, traces, views. Keeps:
// T2. Start reading the project at Translator::ensure, and go on with find_or_make. See
// docs/translator.md.
#pragma once

#include <memory>
#include <string>

#include "translator/code_source.h"
#include "translator/emitted_code.h"
#include "translator/perf_map.h"
#include "translator/plan.h"
#include "translator/stubs.h"
#include "translator/translation_cache.h"

namespace ringshift {

class Emitter;

// Asked to watch the guest-physical pages a unit came from, before its fragment can be found (T2).
class CodeTraces {
 public:
  virtual ~CodeTraces() = default;
  // first: of `length` bytes in one page that code is about to be made from.
  virtual void ensure_code_trace(GuestPhysical first, uint32_t length) = 0;
};

struct TranslatorConfig {
  uint64_t arena_bytes = 16U << 20;
  PlanLimits limits;
  TranslatorFeatures features;
  bool relocate = true;     // copy fragments translated at another linear address
  bool join_copies = true;  // copy a page at a time, joined
  bool make_links = true;
  bool perf_map = false;  // name the code for perf, in /tmp/perf-PID.map
};

class Translator {
 public:
  static std::unique_ptr<Translator> create(const TranslatorConfig& config, CodeSource& source,
                                            CodeTraces& traces, const SoftSites& soft_sites,
                                            FragmentObserver& observer, std::string* error);
  ~Translator();

  // The fragment for `key` as it may be run now: translated if need be, joined to its page's other
  // code, its second page still where its bytes came from. Null: the instruction at key.eip cannot
  // be fetched to its end, and the interpreter finds out why. May drop all others (arena full).
  [[nodiscard]] Fragment* ensure(const TranslationKey& key, const SafePoint& safe);

  // The pipeline by itself: find, else copy, else plan -> trace -> emit -> publish.
  [[nodiscard]] Fragment& find_or_make(const TranslationKey& key, const SafePoint& safe);

  // A direct branch that has left translated code because its destination was not known.
  struct PendingLink {
    uint32_t link = kNoLink;
    uint64_t epoch = 0;  // TranslationCache::epoch() when it left
  };
  // None: the branch goes on leaving. ThroughTable: it jumps through the view's jump table, where
  // `to` has to be entered.
  enum class Connection : uint8_t { None, Direct, ThroughTable };
  // Makes the branch lead to `to` without leaving, if it may.
  [[nodiscard]] Connection connect(const PendingLink& pending, Fragment& to, const SafePoint& safe);

  [[nodiscard]] TranslationCache& cache() { return cache_; }
  [[nodiscard]] const Stubs& stubs() const { return stubs_; }
  [[nodiscard]] CodeArena& arena() { return *arena_; }
  [[nodiscard]] const TranslationUnit& last_unit() const { return unit_; }
  [[nodiscard]] const EmittedCode* last_emitted() const { return last_emitted_; }

  // The run is over. False: the file of names for perf is not complete.
  [[nodiscard]] bool finish_perf_map() { return perf_map_ == nullptr || perf_map_->finish(); }

 private:
  Translator(const TranslatorConfig& config, std::unique_ptr<CodeArena> arena, CodeSource& source,
             CodeTraces& traces, const SoftSites& soft_sites, FragmentObserver& observer);
  [[nodiscard]] bool open_perf_map(std::string* error);
  [[nodiscard]] bool second_page_holds(const Fragment& fragment) const;
  [[nodiscard]] bool may_copy() const;
  // Null: there is nothing to copy.
  [[nodiscard]] Fragment* copy_page_for(const TranslationKey& key, const SafePoint& safe);
  [[nodiscard]] Fragment* copy_for(const TranslationKey& key, const SafePoint& safe);
  void count_copy(const Fragment& copy) const;
  void make_room(uint64_t bytes, const SafePoint& safe);
  void ensure_traces();
  void count_treatments() const;

  TranslatorConfig config_;
  std::unique_ptr<CodeArena> arena_;
  Stubs stubs_;
  TranslationCache cache_;
  std::unique_ptr<Emitter> emitter_;
  CodeSource& source_;
  CodeTraces& traces_;
  const SoftSites& soft_sites_;
  TranslationUnit unit_;
  const EmittedCode* last_emitted_ = nullptr;
  std::unique_ptr<PerfMap> perf_map_;  // null: nobody asked
};

}  // namespace ringshift
