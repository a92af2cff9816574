// TranslationCache: key -> Fragment, guest-physical page -> Fragments, and the links between them.
// Owns: fragments, links and their storage in the arena. Bounded: when the arena is full, the
// copies are dropped, or all. Keeps: T2 T3. See docs/translator.md.
#pragma once

#include <array>
#include <boost/container/deque.hpp>
#include <boost/intrusive/unordered_set.hpp>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "translator/code_arena.h"
#include "translator/code_bytes.h"
#include "translator/emitted_code.h"
#include "translator/fragment.h"
#include "translator/link_table.h"
#include "translator/page_template.h"
#include "translator/safe_point.h"
#include "translator/translation_unit.h"

namespace ringshift {

// Told before a fragment goes, so that jump tables and return stacks forget it.
class FragmentObserver {
 public:
  virtual ~FragmentObserver() = default;
  virtual void on_fragment_dropped(const Fragment& fragment) = 0;
  virtual void on_copies_dropped() = 0;
  virtual void on_all_dropped() = 0;
};

class TranslationCache {
 public:
  TranslationCache(CodeArena& arena, FragmentObserver& observer);

  [[nodiscard]] Fragment* find(const TranslationKey& key) const;
  // Null when the arena is full. Pre: emitted for arena.next() and links numbered from next_link().
  [[nodiscard]] Fragment* publish(const TranslationUnit& unit, const EmittedCode& emitted);
  [[nodiscard]] uint32_t next_link() const { return links_.next(FragmentKind::Original); }

  // For shared user code whose guest bytes have been translated at another linear address already
  // (every process of a program has its libraries somewhere else): what a copy can be made of, with
  // every EIP moved. Null if there is nothing, or it would not be what emit makes.
  [[nodiscard]] const Fragment* model_for(const TranslationKey& key) const;
  // Makes the code that emit would make, in a small part of the time. Pre: model is model_for(key),
  // and the arena has room for its size.
  Fragment& copy(const Fragment& model, const TranslationKey& key);
  // Everything translated so far from the key's page, already linked together: a program that runs
  // some of a page runs more. Null if there is nothing, if this linear page has code already, or if
  // it would fill too much of the arena.
  [[nodiscard]] const PageTemplate* template_for(const TranslationKey& key);
  // Pre: page is template_for(key), and the arena has room for its bytes. Valid until the next
  // call.
  const std::vector<Fragment*>& copy_page(const PageTemplate& page, const TranslationKey& key);

  // The fragment a host PC lies in, or null for a stub.
  [[nodiscard]] Fragment* fragment_at(uint64_t host_pc) const;

  struct LinkView {
    Fragment* from = nullptr;
    Eip destination_eip;
  };
  [[nodiscard]] LinkView link_view(uint32_t link) const;
  // How many links lead to it.
  [[nodiscard]] uint32_t links_to(const Fragment& fragment) const;
  void link(uint32_t link, Fragment& to, const SafePoint&);
  // Makes the link's stub a jump to `dispatch` with the destination in R8D: what links cannot join
  // directly goes through the jump table. For good: the stub dies with its fragment.
  void link_through_table(uint32_t link, uint64_t dispatch, const SafePoint&);
  // Joins a new fragment of shared user code to those of its page that are there already. Returns
  // how many links it has made.
  uint32_t link_within_page(Fragment& fragment, const SafePoint& safe);
  void unlink_all(const SafePoint&);

  [[nodiscard]] bool has_code(GuestPhysicalPage page) const;
  // False if no fragment was made from a byte of the range, which lies in one page; true if one may
  // have been: a page remembers in granules of 64 bytes, also of fragments that are gone.
  [[nodiscard]] bool may_hold_code(GuestPhysical address, uint32_t length) const;
  // Adds the bytes of the page that fragments were made from.
  void add_code_bytes(GuestPhysicalPage page, CodeBytes* bytes) const;
  // Drops every fragment made from a byte of [address, address+length). Returns how many.
  uint32_t drop_overlapping(GuestPhysical address, uint32_t length, const SafePoint&);
  // Drops the fragments of this view with code of this page that lay at this linear page (whose
  // mapping has changed).
  uint32_t drop_mapped_at(GuestPhysicalPage page, GuestVirtualPage linear, uint32_t view,
                          const SafePoint&);
  // Drops the fragments with code that lay at this linear address, in any view. Looks at all of
  // them.
  void drop_with_code_at(GuestVirtual linear, const SafePoint&);
  void drop(Fragment& fragment, const SafePoint&);
  void drop_copies(const SafePoint&);
  void drop_all(const SafePoint&);

  // Changes whenever link numbers lose their meaning (drop_copies, drop_all).
  [[nodiscard]] uint64_t epoch() const { return epoch_; }
  [[nodiscard]] size_t size() const { return by_key_.size(); }
  void verify_invariants() const;

  template <typename Visitor>
  void for_each(Visitor visit) const {
    for (const Fragment& fragment : by_key_) visit(fragment);
  }

 private:
  struct KeyHash {
    size_t operator()(const TranslationKey& key) const {
      uint64_t mixed = (key.physical.value() << 24) ^ (uint64_t{key.eip.value()} << 2) ^
                       (uint64_t{key.view} << 40) ^ (static_cast<uint64_t>(key.privilege) << 1) ^
                       static_cast<uint64_t>(key.style) ^ (uint64_t{key.mode.bits} << 32) ^
                       key.mode.base;
      mixed *= 0x9e3779b97f4a7c15U;
      return mixed ^ (mixed >> 32);
    }
  };
  // Two fragments may be copies of each other if these are equal.
  struct ModelKey {
    GuestPhysical physical;
    AccessStyle style = AccessStyle::Window;
    bool operator==(const ModelKey&) const = default;
  };
  struct ModelKeyHash {
    size_t operator()(const ModelKey& key) const {
      const uint64_t mixed =
          (key.physical.value() * 2 + static_cast<uint64_t>(key.style)) * 0x9e3779b97f4a7c15U;
      return mixed ^ (mixed >> 32);
    }
  };
  struct KeyOf {
    using type = TranslationKey;
    const TranslationKey& operator()(const Fragment& fragment) const { return fragment.key; }
  };
  struct ModelKeyOf {
    using type = ModelKey;
    ModelKey operator()(const Fragment& fragment) const {
      return {fragment.key.physical, fragment.key.style};
    }
  };
  template <Fragment::Hook Fragment::*kHook, typename Key, typename Hash>
  using Index = boost::intrusive::unordered_set<
      Fragment, boost::intrusive::member_hook<Fragment, Fragment::Hook, kHook>,
      boost::intrusive::key_of_value<Key>, boost::intrusive::hash<Hash>,
      boost::intrusive::power_2_buckets<true>>;
  using ByKey = Index<&Fragment::by_key, KeyOf, KeyHash>;
  using ByModel = Index<&Fragment::by_model, ModelKeyOf, ModelKeyHash>;
  // References stay; a record goes with all others of its kind.
  using Fragments = boost::container::deque<
      Fragment, void, boost::container::deque_options<boost::container::block_bytes<65536U>>::type>;
  static constexpr size_t kKinds = 2;
  struct PageCode {
    std::array<PageMembers, kKinds> members;  // by FragmentKind
    uint64_t granules = 0;                    // with code, a bit each
    // Those of its shared user code.
    struct Styled {
      uint32_t models = 0;
      std::unique_ptr<PageTemplate> page_template;  // of those there were when it was made
      // Linear pages that have had some, by FragmentKind.
      std::array<std::vector<GuestVirtualPage>, kKinds> places;
    };
    std::array<Styled, 2> styled;  // by AccessStyle
    [[nodiscard]] bool empty() const { return members[0].empty() && members[1].empty(); }
  };
  [[nodiscard]] static FragmentKind kind_of(const Fragment& fragment) {
    return fragment.is_copy ? FragmentKind::Copy : FragmentKind::Original;
  }

  void enter(Fragment& fragment);
  [[nodiscard]] static bool may_be_copied(Eip eip);
  [[nodiscard]] PageCode::Styled& styled_of(const TranslationKey& key);
  void note_place(const Fragment& fragment);
  void copy_code(const Fragment& model, const Fragment& copy);
  void copy_link(uint32_t number, uint8_t* bytes);
  [[nodiscard]] std::unique_ptr<PageTemplate> make_template(const TranslationKey& key) const;
  bool add_to_template(const Fragment& model, PageTemplate* made) const;
  Fragment& copy_entry(const PageTemplate& page, const PageTemplate::Entry& entry,
                       CodeExecuteView at, const TranslationKey& key);
  void join_entry(const PageTemplate& page, const PageTemplate::Entry& entry, Fragment& copy);
  static void write_table_stub(uint8_t* stub, Eip destination_eip, uint64_t displacement);
  template <typename Predicate>
  uint32_t drop_from_page(GuestPhysicalPage page, Predicate concerns, const SafePoint& safe);
  void patch(const Link& link, uint64_t destination);
  void undo(uint32_t number);
  void forget_copy(Fragment& copy);

  CodeArena& arena_;
  FragmentObserver& observer_;
  Fragments originals_;  // by owner number minus one, as are copies less their bit
  Fragments copies_;
  std::vector<ByKey::bucket_type> key_buckets_;
  std::vector<ByModel::bucket_type> model_buckets_;
  ByKey by_key_;
  ByModel models_;
  std::unordered_map<GuestPhysicalPage, PageCode> pages_;
  LinkTable links_;
  std::vector<Fragment*> page_copies_;  // of copy_page, reused
  uint64_t epoch_ = 0;
};

}  // namespace ringshift
