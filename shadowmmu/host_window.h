// HostWindow: a 4 GiB window with guard zones in our own address space. Owns: the reservation. Does
// not own: RAM. See docs/shadow-mmu.md.
#pragma once

#include <memory>
#include <string>

#include "shadowmmu/guest_memory.h"
#include "shadowmmu/host_refusals.h"
#include "shadowmmu/window_mapper.h"

namespace ringshift {

class HostWindow final : public WindowMapper {
 public:
  // refusals: null for none.
  static std::unique_ptr<HostWindow> create(const GuestMemory& ram, HostRefusals* refusals,
                                            std::string* error);
  ~HostWindow() override;
  HostWindow(const HostWindow&) = delete;
  HostWindow& operator=(const HostWindow&) = delete;

  // The window is followed and preceded by guard zones that catch any address one host instruction
  // of a fragment can form.
  [[nodiscard]] HostAddress base() const override { return base_; }
  [[nodiscard]] bool map(GuestVirtualPage at, GuestPhysicalPage from, uint32_t pages,
                         HostAccess access) override;
  [[nodiscard]] bool unmap(GuestVirtualPage at, uint32_t pages) override;
  [[nodiscard]] bool restrict_to(GuestVirtualPage at, HostAccess access) override;
  [[nodiscard]] bool clear() override;

 private:
  HostWindow(const GuestMemory& ram, HostRefusals* refusals) : ram_(ram), refusals_(refusals) {}
  [[nodiscard]] bool is_refused() const { return refusals_ != nullptr && refusals_->refuses(); }
  [[nodiscard]] HostAddress host_of(GuestVirtualPage page) const {
    return base_ + page.address().value();
  }

  const GuestMemory& ram_;
  HostRefusals* refusals_;
  HostAddress reservation_;
  HostAddress base_;
};

}  // namespace ringshift
