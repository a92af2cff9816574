// PagingObserver: told of changes to how the guest translates addresses, by the code that makes
// them (control registers, INVLPG, task switches). Each call comes after the guest's state has been
// changed. LinearMemory is flushed by the caller, not by the observer.
#pragma once

#include "shadowmmu/base/address.h"

namespace ringshift {

class PagingObserver {
 public:
  virtual ~PagingObserver() = default;
  // MOV CR3, task switch: translations that are not global die.
  virtual void on_cr3_loaded() = 0;
  // INVLPG: the translation of that page dies, a global one too.
  virtual void on_page_invalidated(GuestVirtual address) = 0;
  // CR0.PG or WP, CR4.PAE, PSE or PGE, EFER.NXE: every translation dies.
  virtual void on_paging_mode_changed() = 0;
};

}  // namespace ringshift
