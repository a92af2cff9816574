// UserViews: the guest's address spaces as user code has used them, by CR3. Owns: the views, and a
// spare jump table for a view that the host refuses one. Bounded in number and in host memory: the
// least recently used views are forgotten. See docs/shadow-mmu.md, "Views".
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "monitor/spaces/code_view.h"
#include "shadowmmu/host_refusals.h"

namespace ringshift {

class UserViews {
 public:
  // False with one line in *error if the host refuses the spare table.
  [[nodiscard]] bool set_up(HostRefusals& refusals, std::string* error);

  // Makes the view of this CR3 the current one; a new view if there is none.
  CodeView& enter(uint32_t cr3);
  // Null: none has been entered since leave().
  [[nodiscard]] CodeView* current() const { return current_; }
  // CR3, or its meaning, has changed.
  void leave() { current_ = nullptr; }
  // Every view goes.
  void drop_all();

  // The least recently used view of those that `holds` is true of, if at least `most` are;
  // otherwise null.
  [[nodiscard]] CodeView* least_recent_if_full(size_t most, bool (*holds)(const CodeView&));
  // A view holds so many pages more. Views are weighed from time to time, and the least recently
  // used go while all weigh more than kMostBytes; the current one stays.
  void note_growth(uint32_t pages);
  // Host memory that all views take, at most.
  [[nodiscard]] size_t bytes() const;
  static constexpr size_t kMostBytes = size_t{96} << 20;

  template <typename Action>
  void for_each(Action action) {
    for (auto& [cr3, view] : views_) action(view);
  }
  template <typename Action>
  void for_each(Action action) const {
    for (const auto& [cr3, view] : views_) action(view);
  }

 private:
  [[nodiscard]] std::unique_ptr<JumpTable> make_jump_table();
  void evict();
  void keep_in_bounds();

  HostRefusals* refusals_ = nullptr;
  std::unordered_map<uint32_t, CodeView> views_;  // by CR3
  CodeView* current_ = nullptr;
  std::unique_ptr<JumpTable> spare_jumps_;  // null: some view has it
  uint32_t grown_pages_ = 0;                // since the views were last weighed
  uint64_t use_clock_ = 0;
};

}  // namespace ringshift
