// AddressSpaces: one processor's views of the guest's memory: the supervisor's, with its window,
// and one for each CR3 under which user code has run. Keeps them true through CR3 loads, INVLPG and
// changes of the paging mode: a TLB, with nothing of the guest's state in it (docs/decisions/0001).
// Owns: the views, the notes that wait for a safe point. Does not own: fragments, traces. Keeps: M3
// M4. Notifications only take note; enter() and apply() act. See docs/shadow-mmu.md.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "monitor/memory/paging_observer.h"
#include "monitor/spaces/hot_sites.h"
#include "monitor/spaces/space_resources.h"
#include "monitor/spaces/table_hashes.h"
#include "monitor/spaces/user/kept_entries.h"
#include "monitor/spaces/user/user_views.h"
#include "translator/gate.h"
#include "translator/safe_point.h"
#include "translator/translation_cache.h"

namespace ringshift {

class AddressSpaces final : public PagingObserver, public FragmentObserver, public CodeHolder {
 public:
  static std::unique_ptr<AddressSpaces> create(SpaceResources& resources, HotSites& sites,
                                               std::string* error);
  // Wiring, once: they are made after us, because the translator is given us as its observer.
  void attach(Gate& gate, TranslationCache& cache, const CodeArena& arena);

  // PagingObserver
  void on_cr3_loaded() override;
  void on_page_invalidated(GuestVirtual address) override;
  void on_paging_mode_changed() override;
  // The A20 gate moved, or a device took the place of RAM: every guest-physical address that we
  // remember may be another.
  void on_memory_map_changed();

  // Makes the view of this privilege in the guest's current address space the current one, and
  // verifies it against the guest's tables if they may have changed since. It may find code to
  // drop: has_pending_work() is looked at afterwards.
  CodeView& enter(Privilege privilege);
  // The user view entered last, if CR3 has not been loaded since; otherwise null.
  [[nodiscard]] CodeView* user_view() const { return users_.current(); }
  // Points the gate's slots at the entered view of this privilege.
  // mode: of the code that is to run in it.
  void select(Privilege privilege, const CodeMode& mode = {});
  // Fills in where a ring's usual code goes on, window, jump table and return stack. False: to
  // enter the view takes more than that.
  [[nodiscard]] bool describe(Privilege privilege, RingView* ring) const;
  void set_jump(const Fragment& fragment);
  // Everything remembered of the guest's mappings goes; code stays, unlinked.
  void forget_all_mappings();
  // The same of the supervisor's view that waits while paging is off, or on.
  void forget_parked();

  // After a flush of many supervisor translations the held ones are not verified at once: a kernel
  // with page-table isolation runs a few instructions on each set of tables and changes over. Those
  // are interpreted. Code that stays gets the verification.
  [[nodiscard]] bool supervisor_needs_verification() const { return supervisor_unverified_; }
  void verify_supervisor();

  // Drops the code that changed mappings have made wrong, here and in the watch. Before any
  // fragment is looked up or run.
  void apply(const SafePoint& safe);
  [[nodiscard]] bool has_pending_work() const {
    return has_pending_work_ || resources_.watch.has_pending_work();
  }

  // Another number after each flush of any translation.
  [[nodiscard]] uint64_t translations_version() const { return translations_version_; }
  void note_translations_changed() { ++translations_version_; }

  // The current user view has spent this much on soft accesses. True: it has been given a window,
  // and whatever was about to be resumed in its old code must be looked up again.
  [[nodiscard]] bool note_user_work(uint64_t amount);
  // Attention has found translated user code at work.
  void note_user_tick();

  // A soft TLB has missed something that is translated so, and that a CR3 load takes from it.
  void note_soft_fill(const Translation& translation);

  [[nodiscard]] UserViews& users() { return users_; }
  [[nodiscard]] const UserViews& users() const { return users_; }
  [[nodiscard]] CodeView& supervisor() { return supervisor_; }
  void verify_invariants() const;
  // RAM may have been changed unseen: no table is as it was.
  void forget_tables();
  // For tests: the page of RAM that the number falls on gets its other backing, if it can.
  void flip_backing(uint32_t number);

 private:
  // The reach of a flush by the guest: a CR3 load spares global translations (SDM 3A 4.10.4.1).
  enum class Flush : uint8_t { Local, All };
  struct PendingRemap {
    GuestPhysicalPage physical;
    GuestVirtualPage linear;
    uint32_t view;
  };

  AddressSpaces(SpaceResources& resources, HotSites& sites)
      : resources_(resources), sites_(sites), hashes_(resources.tables) {}
  // FragmentObserver
  void on_fragment_dropped(const Fragment& fragment) override;
  void on_copies_dropped() override;
  void on_all_dropped() override;
  // CodeHolder
  [[nodiscard]] bool has_code(GuestPhysicalPage page) const override;
  [[nodiscard]] bool may_hold_code(GuestPhysical address, uint32_t length) const override;
  void add_code_bytes(GuestPhysicalPage page, CodeBytes* bytes) const override;
  void drop_code(GuestPhysical address, uint32_t length, const SafePoint& safe) override;
  void forget_write_paths(GuestPhysicalPage page) override;
  [[nodiscard]] bool set_up_supervisor(CodeView& view, std::string* error) const;
  [[nodiscard]] bool exchange_supervisor(bool paging);
  void begin_flush(Flush flush);
  void give_up_window(CodeView& view);
  void make_room_for_window();
  void start_afresh(CodeView& view);
  // address_spaces_verify.cpp
  void supervisor_flushed(Flush flush);
  [[nodiscard]] std::bitset<Region::kCount> flushed_regions(Flush flush) const;
  [[nodiscard]] bool has_changed_code(const CodeView& view,
                                      const std::bitset<Region::kCount>& regions);
  void verify_supervisor_code(const std::bitset<Region::kCount>& regions);
  void verify_user_view(CodeView& view);
  void verify_user_code(CodeView& view);
  void note_verified(CodeView& view);
  void note_compared(const TableLink& link, TableTraces::Finding finding);
  void verify_what_is_unchanged(const CodeView& view, Privilege privilege) const;
  void verify_soft_entries() const;
  void begin_verification();
  void verify_space(ShadowSpace& space, const CodeView& view);
  [[nodiscard]] std::optional<Translation> tables_say(GuestVirtualPage page,
                                                      Privilege privilege) const;
  [[nodiscard]] static bool is_shadow_of(const ShadowMapping& mapping, const Translation& now);
  [[nodiscard]] bool still_shadows(const ShadowMapping& mapping, Privilege privilege);
  [[nodiscard]] bool still_maps(GuestVirtualPage page, CodePage& code, Privilege privilege) const;
  void invalidate_view(CodeView& view, GuestVirtualPage page, Privilege privilege);
  void invalidate_in(ShadowSpace& space, GuestVirtualPage page, Privilege privilege,
                     CodeView& view);
  [[nodiscard]] bool replace_in(ShadowSpace& space, GuestVirtualPage page, const Translation& now,
                                CodeView& view);
  void forget_code_page(CodeView& view, GuestVirtualPage page, GuestPhysicalPage was);
  void recheck_code_page(CodeView& view, GuestVirtualPage page, Privilege privilege);
  void recheck_code_after_invlpg(CodeView& view, GuestVirtualPage page, Privilege privilege);

  SpaceResources& resources_;
  HotSites& sites_;
  Gate* gate_ = nullptr;
  TranslationCache* cache_ = nullptr;
  const CodeArena* arena_ = nullptr;

  TableHashes hashes_;
  CodeView supervisor_;  // its window is always there
  // For a guest that switches paging off and on: the view of the other state. While paging is off,
  // changes of the tables do not matter; when it is on again the view is verified.
  CodeView parked_;
  uint32_t paging_switches_ = 0;
  UserViews users_;
  KeptEntries kept_;
  uint64_t flush_epoch_ = 1;
  uint64_t translations_version_ = 0;
  uint32_t views_with_own_code_ = 0;  // so far: the last CodeView::id given

  std::vector<PendingRemap> pending_remaps_;
  bool pending_unlink_ = false;
  bool has_pending_work_ = false;
  bool user_returns_stale_ = false;
  std::array<CodeMode, 2> return_modes_;  // of the code on each return stack
  bool supervisor_unverified_ = false;
  Flush unverified_flush_ = Flush::Local;  // the widest since the supervisor was last verified
  uint32_t deferrals_left_ = 0;
};

}  // namespace ringshift
