#include "shadowmmu/guest_memory.h"

#include "shadowmmu/base/check.h"
#include "shadowmmu/host_mapping.h"

namespace ringshift {
namespace {

std::string failure(const char* step, uint64_t bytes, const std::string& reason) {
  return std::string("guest RAM of ") + std::to_string(bytes) + " bytes: " + step + ": " + reason;
}

}  // namespace

std::unique_ptr<GuestMemory> GuestMemory::create(uint64_t bytes, std::string* error) {
  if (bytes == 0 || bytes % kPageSize != 0) {
    *error = failure("size", bytes, "not a positive multiple of 4096");
    return nullptr;
  }
  // From here the destructor gives back what has been taken.
  std::unique_ptr<GuestMemory> memory(new GuestMemory());
  HostResult made = create_memfd("ringshift-ram", bytes, &memory->descriptor_);
  if (!made.ok()) {
    *error = failure("memfd", bytes, made.text());
    return nullptr;
  }
  HostAddress base;
  HostResult mapped =
      map_shared(memory->descriptor_, 0, static_cast<size_t>(bytes), HostAccess::ReadWrite, &base);
  if (!mapped.ok()) {
    *error = failure("mmap", bytes, mapped.text());
    return nullptr;
  }
  memory->base_ = reinterpret_cast<uint8_t*>(static_cast<uintptr_t>(base.value()));
  memory->size_ = bytes;
  return memory;
}

bool GuestMemory::clear() { return discard_contents(descriptor_, size_).ok(); }

GuestMemory::~GuestMemory() {
  if (base_ != nullptr) {
    HostAddress base(static_cast<uint64_t>(reinterpret_cast<uintptr_t>(base_)));
    CHECK(release(base, static_cast<size_t>(size_)).ok());
  }
  close_descriptor(descriptor_);
}

}  // namespace ringshift
