#include "translator/code_arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "shadowmmu/base/check.h"

namespace ringshift {
namespace {

constexpr uint64_t round_up(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace

std::unique_ptr<CodeArena> CodeArena::create(uint64_t bytes, std::string* error) {
  auto arena = std::unique_ptr<CodeArena>(new CodeArena());
  arena->size_ = round_up(bytes < 65536 ? 65536 : bytes, 4096);
  arena->descriptor_ = memfd_create("ringshift-code", MFD_CLOEXEC);
  if (arena->descriptor_ < 0 ||
      ftruncate(arena->descriptor_, static_cast<off_t>(arena->size_)) != 0) {
    *error = std::string("cannot create the code arena: ") + std::strerror(errno);
    return nullptr;
  }
  void* write =
      mmap(nullptr, arena->size_, PROT_READ | PROT_WRITE, MAP_SHARED, arena->descriptor_, 0);
  void* execute =
      mmap(nullptr, arena->size_, PROT_READ | PROT_EXEC, MAP_SHARED, arena->descriptor_, 0);
  if (write != MAP_FAILED) arena->write_ = static_cast<uint8_t*>(write);
  if (execute != MAP_FAILED) arena->execute_ = reinterpret_cast<uint64_t>(execute);
  if (write == MAP_FAILED || execute == MAP_FAILED) {
    *error = std::string("cannot map the code arena: ") + std::strerror(errno);
    return nullptr;
  }
  arena->owner_by_granule_.assign(arena->size_ / kGranule, 0);
  return arena;
}

CodeArena::~CodeArena() {
  if (write_ != nullptr) munmap(write_, size_);
  if (execute_ != 0) munmap(reinterpret_cast<void*>(execute_), size_);
  if (descriptor_ >= 0) close(descriptor_);
}

CodeExecuteView CodeArena::publish(std::span<const uint8_t> code, uint32_t owner) {
  if (!has_room(code.size())) return {0};
  const CodeExecuteView at = next();
  std::memcpy(write_ + used_, code.data(), code.size());
  const uint64_t first = used_ / kGranule;
  used_ = round_up(used_ + code.size(), kGranule);
  for (uint64_t granule = first; granule < used_ / kGranule; ++granule) {
    owner_by_granule_[granule] = owner;
  }
  return at;
}

void CodeArena::reset() { used_ = kept_; }

uint32_t CodeArena::owner_of(uint64_t host_pc) const {
  DCHECK(contains(host_pc));
  return owner_by_granule_[(host_pc - execute_) / kGranule];
}

}  // namespace ringshift
