// HostWindow: a 4 GiB window with guard zones in our own address space.
// Owns: the reservation. Does not own: RAM.
// Called by: shadow space. See docs/shadow-mmu.md.
#pragma once

#include <memory>
#include <string>

#include "shadowmmu/guest_memory.h"
#include "shadowmmu/window_mapper.h"

namespace ringshift {

class HostWindow final : public WindowMapper {
 public:
  static std::unique_ptr<HostWindow> create(const GuestMemory& ram, std::string* error);
  ~HostWindow() override;
  HostWindow(const HostWindow&) = delete;
  HostWindow& operator=(const HostWindow&) = delete;

  // The window is followed and preceded by guard zones that catch any address one host instruction
  // of a fragment can form.
  [[nodiscard]] HostAddress base() const override { return base_; }
  [[nodiscard]] bool map(GuestVirtualPage at, GuestPhysicalPage from, uint32_t pages,
                         HostAccess access) override;
  void unmap(GuestVirtualPage at, uint32_t pages) override;
  void restrict_to(GuestVirtualPage at, HostAccess access) override;

 private:
  explicit HostWindow(const GuestMemory& ram) : ram_(ram) {}
  [[nodiscard]] HostAddress host_of(GuestVirtualPage page) const {
    return base_ + page.address().value();
  }

  const GuestMemory& ram_;
  HostAddress reservation_;
  HostAddress base_;
};

}  // namespace ringshift
