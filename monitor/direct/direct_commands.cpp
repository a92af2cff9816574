// DirectCommand: the host system calls by which a sandboxed process maps and unmaps guest pages.
#include <sys/mman.h>
#include <sys/syscall.h>

#include "monitor/direct/direct_process.h"
#include "monitor/direct/direct_sandbox.h"
#include "shadowmmu/base/check.h"

namespace ringshift {
namespace {

int host_protection(HostAccess access) {
  switch (access) {
    case HostAccess::None:
      return PROT_NONE;
    case HostAccess::Read:
      return PROT_READ;
    case HostAccess::ReadWrite:
      return PROT_READ | PROT_WRITE;
    case HostAccess::ReadExecute:
      return PROT_READ | PROT_EXEC;
  }
  UNREACHABLE();
}

}  // namespace

DirectCommand command_to_map(GuestVirtualPage at, GuestPhysicalPage from, uint32_t pages,
                             HostAccess access) {
  constexpr uint32_t kPopulatedPages = 64;
  const int populate = pages <= kPopulatedPages ? MAP_POPULATE : 0;
  DirectCommand command;
  command.number = SYS_mmap;
  command.arguments = {at.address().value(),
                       uint64_t{pages} * kPageSize,
                       static_cast<uint64_t>(host_protection(access)),
                       static_cast<uint64_t>(MAP_SHARED | MAP_FIXED | MAP_NORESERVE | populate),
                       static_cast<uint64_t>(kDirectRamDescriptor),
                       from.address().value()};
  return command;
}

DirectCommand command_to_unmap(GuestVirtualPage at, uint32_t pages) {
  DirectCommand command;
  command.number = SYS_munmap;
  command.arguments = {at.address().value(), uint64_t{pages} * kPageSize};
  return command;
}

DirectCommand command_to_protect(GuestVirtualPage at, HostAccess access) {
  DirectCommand command;
  command.number = SYS_mprotect;
  command.arguments = {at.address().value(), kPageSize,
                       static_cast<uint64_t>(host_protection(access))};
  return command;
}

}  // namespace ringshift
