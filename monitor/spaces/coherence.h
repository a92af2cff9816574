// Coherence: keeps what we cached of the guest's memory true: windows, soft TLBs, code views,
// fragments. Owns: the supervisor window, traces, reverse map, code views, the list of soft sites.
// Does not own: fragments. Called by: physical memory (writes), control registers (flushes),
// translator (code), vcpu (misses). Keeps: T2 M1 M2 M3. Notifications only take note; what drops
// code waits for apply() at a safe point. See docs/shadow-mmu.md.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "monitor/cpu/cpu_context.h"
#include "monitor/memory/linear_memory.h"
#include "monitor/memory/physical_memory.h"
#include "monitor/spaces/code_view.h"
#include "monitor/spaces/soft_tlbs.h"
#include "shadowmmu/reverse_map.h"
#include "shadowmmu/shadow_space.h"
#include "shadowmmu/trace.h"
#include "translator/code_source.h"
#include "translator/gate.h"
#include "translator/safe_point.h"
#include "translator/translator.h"
#include "translator/user_sensitivity.h"

namespace ringshift {

using LinearPages = std::unordered_set<GuestVirtualPage>;

class Coherence final : public WriteObserver,
                        public CoherenceObserver,
                        public CodeSource,
                        public CodeTraces,
                        public SoftSites,
                        public FragmentObserver {
 public:
  static std::unique_ptr<Coherence> create(PhysicalMemory& physical, LinearMemory& linear,
                                           const GuestState& state, std::string* error);
  // A test's host: it refuses every so many of the calls that may take a mapping more; 0: none.
  void refuse_every(uint32_t calls) { refusals_.refuse_every(calls); }
  // Wiring, once: both are made after us because they are handed references to us.
  void attach(Gate* gate, TranslationCache* cache, CodeArena* arena);

  // WriteObserver
  [[nodiscard]] bool watches(GuestPhysicalPage page) const override {
    return traces_.is_traced(page);
  }
  void on_write(GuestPhysical address, uint32_t length) override;
  // CoherenceObserver
  void on_cr3_loaded() override;
  void on_page_invalidated(GuestVirtual address) override;
  void on_paging_mode_changed() override;
  // The A20 gate moved: every guest-physical address we remember may be another.
  void on_a20_changed();
  // CodeSource
  [[nodiscard]] std::span<const uint8_t> code_at(GuestVirtual address, Privilege privilege,
                                                 GuestPhysical* physical) override;
  [[nodiscard]] const KeptOut* kept_out() const override {
    return kept_out_ == nullptr || kept_out_->empty() ? nullptr : kept_out_;
  }
  // Null: none. Who adds to them drops the code that is there
  // (TranslationCache::drop_with_code_at).
  void set_kept_out(const KeptOut* addresses) { kept_out_ = addresses; }
  // Linear pages that no window and no soft TLB holds, so that each access of translated code to
  // them is interpreted; null: none (coherence_watched.cpp). Who adds to them calls drop_watched.
  void set_watched(const LinearPages* pages) { watched_ = pages; }
  void drop_watched();
  // CodeTraces
  void ensure_code_trace(GuestPhysicalPage page) override;
  // SoftSites
  [[nodiscard]] bool is_soft(GuestPhysical instruction) const override {
    return soft_sites_.contains(instruction);
  }
  // FragmentObserver
  void on_fragment_dropped(const Fragment& fragment) override;
  void on_copies_dropped() override;
  void on_all_dropped() override;

  // After a flush of many supervisor translations what we hold of them is not checked at once:
  // a kernel with page-table isolation runs a few instructions on each set of tables and changes
  // over. Those are interpreted; code that stays gets the check.
  [[nodiscard]] bool supervisor_needs_verification() const { return supervisor_unverified_; }
  void verify_supervisor();

  // Does everything noted since the last safe point. Before any fragment is looked up or run.
  void apply(const SafePoint& safe);
  [[nodiscard]] bool has_pending_work() const { return has_pending_work_; }

  // Makes the view of this privilege the current one, checked after the last flush. Before apply():
  // it may find code to drop.
  void prepare_view(Privilege privilege) { (void)view_of(privilege); }
  // The key under which code at `eip` is translated now, or nothing if it cannot be fetched.
  [[nodiscard]] std::optional<TranslationKey> key_for(uint32_t eip, Privilege privilege);
  // Does the page that a page-crossing fragment ends on still lie where its bytes came from?
  [[nodiscard]] bool second_page_holds(const Fragment& fragment);
  // Points the gate's slots at the view of this privilege in the current address space.
  void select_view(Privilege privilege);
  void set_jump(const Fragment& fragment);

  enum class Miss : uint8_t { Filled, Interpret };
  // A soft access to `address` missed. Interpret: it faults, crosses a page, or is not plain RAM.
  [[nodiscard]] Miss fill_soft(GuestVirtual address, bool is_write, Privilege privilege);
  // A plain access through the window of this privilege faulted at `address`.
  [[nodiscard]] Miss fill_window(GuestVirtual address, bool is_write, Privilege privilege);
  // Takes out of the host's tables what this privilege's window has dropped. select_view() does.
  void settle(Privilege privilege) {
    if (ShadowSpace* window = window_of(privilege); window != nullptr) window->settle();
  }
  // The linear address a host address means in the window of this privilege, if it lies in it.
  [[nodiscard]] std::optional<GuestVirtual> window_address(uint64_t host_address,
                                                           Privilege privilege);
  // Where supervisor code reads this address, if it may; the page is in its window now.
  [[nodiscard]] std::optional<uint64_t> supervisor_host_address(GuestVirtual address);
  [[nodiscard]] bool has_window(Privilege privilege) { return window_of(privilege) != nullptr; }

  // A plain access at this instruction could not be served from the window. True: from now on the
  // site is soft, and its fragment must be made anew.
  [[nodiscard]] bool note_site_fault(GuestPhysical instruction, Privilege privilege);

  // The current user view has spent this much on soft accesses. True: it has been given a window,
  // and whatever was about to be resumed in its old code must be looked up again.
  [[nodiscard]] bool note_user_work(uint64_t amount);

  // Attention has found translated user code at work.
  void note_user_tick();

  // ---- untranslated user code (coherence_direct.cpp) ----
  // Wiring, once; never called where user code is to be translated only.
  void attach_direct(DirectHost* host, const DirectRules& rules);
  [[nodiscard]] bool offers_direct() const { return direct_host_ != nullptr; }
  // Does CPUID fault in the processes? Pre: offers_direct().
  [[nodiscard]] bool cpuid_faults_directly() const { return direct_host_->traps().cpuid; }
  [[nodiscard]] UserPolicy& user_policy() { return current_user_view().policy; }
  // What RDTSC has to do in a process now: where it is not denied (CR4.TSD), need not be seen, and
  // the guest's counter is the host's, the processor may answer.
  [[nodiscard]] TimeStampTrap direct_time_stamp_trap() const;
  // The process of the current address space, made if there is none; null if the host refuses.
  [[nodiscard]] DirectSpace* direct_space();
  // Every process goes; those that should run directly get new ones.
  void end_all_direct();
  // Code of the current address space is not to run untranslated any more.
  void end_direct();
  [[nodiscard]] bool is_known_sensitive(uint32_t eip);
  enum class DirectMiss : uint8_t { Filled, Interpret, Sensitive };
  // Untranslated code at `eip` faulted at `address`. Sensitive: the page it was to run from holds
  // something that must not run untranslated.
  [[nodiscard]] DirectMiss fill_direct(GuestVirtual address, uint32_t eip);

  // Host memory of all user views; kept below kMostViewBytes, or that of one view.
  [[nodiscard]] size_t user_view_bytes() const;
  static constexpr size_t kMostViewBytes = size_t{96} << 20;

  void verify_invariants() const;

 private:
  // How many of the host's mappings each view may take. Those of the windows come out of one limit.
  struct Budgets {
    ShadowBudget supervisor;
    ShadowBudget user;
    ShadowBudget direct;
  };
  static constexpr uint32_t kSmallestLargePage = 2U << 20;
  // What the guest's flush has flushed: a CR3 load spares global translations (SDM 3A 4.10.4.1).
  enum class Flush : uint8_t { Local, All };
  Coherence(PhysicalMemory& physical, LinearMemory& linear, const GuestState& state);
  [[nodiscard]] CodeView& view_of(Privilege privilege);
  [[nodiscard]] CodeView& current_user_view();
  [[nodiscard]] static Budgets share_out(uint32_t most_mappings, HostRefusals* refusals);
  [[nodiscard]] std::unique_ptr<JumpTable> make_jump_table();
  void evict_user_view();
  void drop_user_views();
  void note_growth(uint32_t pages);
  void keep_views_in_bounds();
  void verify_user_view(CodeView& view);
  void supervisor_flushed(Flush flush);
  [[nodiscard]] std::bitset<kRegions> flushed_regions(Flush flush) const;
  void verify_supervisor_code(const std::bitset<kRegions>& regions);
  [[nodiscard]] bool still_maps(GuestVirtualPage page, CodePage& code, Privilege privilege);
  void forget_code_page(CodeView& view, GuestVirtualPage page, GuestPhysicalPage was);
  void recheck_code_page(CodeView& view, GuestVirtualPage page, Privilege privilege);
  void recheck_code_after_invlpg(CodeView& view, GuestVirtualPage page, Privilege privilege);
  void merge_pending_writes();
  void begin_flush(Flush flush);
  void invalidate_in(ShadowSpace& space, GuestVirtualPage page, Privilege privilege);
  [[nodiscard]] bool replace_in(ShadowSpace& space, GuestVirtualPage page, Privilege privilege,
                                const Translation& now);
  [[nodiscard]] std::optional<Translation> tables_say(GuestVirtualPage page, Privilege privilege);
  [[nodiscard]] bool is_shadow_of(const ShadowMapping& mapping, const Translation& now) const;
  void forget_all_mappings();
  [[nodiscard]] ShadowSpace* window_of(Privilege privilege);
  [[nodiscard]] CodeView* least_recent_if_full(size_t most, bool (*holds)(const CodeView&));
  void make_room_for_window();
  void give_up_window(CodeView& view);
  void start_afresh(CodeView& view);
  [[nodiscard]] uint64_t hash_tables(uint32_t region);
  [[nodiscard]] uint64_t hash_directory_entry(uint64_t entry);
  [[nodiscard]] bool tables_unchanged(const CodeView& view, uint32_t region);
  void begin_verification();
  void note_verified(CodeView& view);
  [[nodiscard]] bool still_shadows(const ShadowMapping& mapping, Privilege privilege);
  [[nodiscard]] ShadowRun run_for(GuestVirtual address, const Translation& translation) const;
  void clip_to_ram(ShadowRun* run) const;
  [[nodiscard]] DirectMiss fill_direct_code(CodeView& view, GuestVirtualPage page,
                                            std::optional<uint32_t> entry);
  [[nodiscard]] DirectMiss fill_direct_data(CodeView& view, GuestVirtual address);
  [[nodiscard]] bool map_direct_neighbour(CodeView& view, GuestVirtualPage page);
  void map_direct_ahead(CodeView& view);
  [[nodiscard]] uint32_t map_direct_region(CodeView& view, uint32_t region, uint32_t most);
  [[nodiscard]] bool region_has_user_pages(uint32_t region);
  [[nodiscard]] static bool believes_sensitive(CodeView& view, GuestVirtualPage page);
  [[nodiscard]] bool copy_user_code(GuestVirtual from, std::span<uint8_t> to);
  [[nodiscard]] bool code_runs_directly(GuestVirtualPage page, GuestPhysicalPage physical,
                                        std::optional<uint32_t> entry);
  void make_room_for_direct();
  void revoke_direct_execution(GuestPhysicalPage page);
  void trace_page(GuestPhysicalPage page, TraceReason reason);
  [[nodiscard]] bool is_watched(GuestVirtualPage page) const {
    return watched_ != nullptr && !watched_->empty() && watched_->contains(page);
  }
  void keep_watched_out(GuestVirtualPage page, ShadowRun* run) const;
  [[nodiscard]] bool entry_is_accessed(const Translation& translation) const;

  struct PendingWrite {
    GuestPhysical address;
    uint32_t length;
  };
  struct PendingRemap {
    GuestPhysicalPage physical;
    GuestVirtualPage linear;
    uint32_t view;
  };

  PhysicalMemory& physical_;
  LinearMemory& linear_;
  const GuestState& state_;
  Gate* gate_ = nullptr;
  TranslationCache* cache_ = nullptr;
  CodeArena* arena_ = nullptr;
  const KeptOut* kept_out_ = nullptr;
  const LinearPages* watched_ = nullptr;

  HostRefusals refusals_;
  const Budgets budgets_;
  SoftTlbs soft_tlbs_;
  TraceTable traces_;
  ReverseMap reverse_;
  std::unique_ptr<ShadowSpace> window_;
  CodeView supervisor_;
  std::unordered_map<uint32_t, CodeView> users_;  // by CR3
  CodeView* current_user_ = nullptr;              // null: look it up again
  // For a view that the host refuses one; null: some view has it.
  std::unique_ptr<JumpTable> spare_jumps_;
  uint32_t grown_pages_ = 0;  // since the views were last weighed
  uint64_t flush_epoch_ = 1;
  uint64_t use_clock_ = 0;
  uint32_t views_with_own_code_ = 0;  // so far: the last CodeView::id given
  PagingMode mode_;                   // as of the last notification

  std::unordered_set<GuestPhysical> soft_sites_;
  std::unordered_map<GuestPhysical, uint32_t> site_faults_;
  std::vector<PendingWrite> pending_writes_;
  static constexpr size_t kMostPendingWrites = 4096;
  size_t most_pending_writes_ = kMostPendingWrites;  // before they are merged
  std::vector<PendingRemap> pending_remaps_;
  bool pending_unlink_ = false;
  bool has_pending_work_ = false;
  bool user_returns_stale_ = false;
  bool supervisor_unverified_ = false;
  Flush unverified_flush_ = Flush::Local;  // the widest since the supervisor was last verified
  uint32_t deferrals_left_ = 0;
  DirectHost* direct_host_ = nullptr;
  CodePageVerdicts code_verdicts_{DirectRules{}};
  // Hashes of the current tables, by region, and the verification pass that computed each.
  uint64_t verification_pass_ = 0;
  std::array<uint64_t, kRegions> table_hash_{};
  std::array<uint64_t, kRegions> table_hash_pass_{};
  std::vector<uint32_t> hashed_regions_;  // in this pass
};

}  // namespace ringshift
