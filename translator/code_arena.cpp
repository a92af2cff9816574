#include "translator/code_arena.h"

#include <fcntl.h>
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

bool seal(int file, int seals) { return fcntl(file, F_ADD_SEALS, seals) == 0; }

// Linux 5.1 and later: no new way to write, by a call or by a mapping. The one there is stays.
bool seal_writes(int file) {
  return seal(file, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) || errno == EINVAL;
}

}  // namespace

// The descriptor does not outlive the two mappings, and nobody else can write through another one
// of the same file: all code that runs came through the write view.
bool CodeArena::map_file() {
  const int file = memfd_create("ringshift-code", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (file < 0) return false;
  const bool mapped = ftruncate(file, static_cast<off_t>(size_)) == 0 && map_views(file) &&
                      seal(file, F_SEAL_SHRINK | F_SEAL_GROW) && seal_writes(file);
  const int error = errno;
  close(file);
  errno = error;
  return mapped;
}

bool CodeArena::map_views(int file) {
  void* write = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (write == MAP_FAILED) return false;
  write_ = static_cast<uint8_t*>(write);
  void* execute = mmap(nullptr, size_, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
  if (execute == MAP_FAILED) return false;
  execute_ = reinterpret_cast<uint64_t>(execute);
  return true;
}

// mremap of zero bytes of a shared mapping makes a second one of the same memory (its man page).
bool CodeArena::map_anonymous() {
  void* write = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (write == MAP_FAILED) return false;
  write_ = static_cast<uint8_t*>(write);
  void* execute = mremap(write, 0, size_, MREMAP_MAYMOVE);
  if (execute == MAP_FAILED) return false;
  execute_ = reinterpret_cast<uint64_t>(execute);
  return mprotect(execute, size_, PROT_READ | PROT_EXEC) == 0;
}

std::unique_ptr<CodeArena> CodeArena::create(uint64_t bytes, std::string* error,
                                             ArenaBacking backing) {
  auto arena = std::unique_ptr<CodeArena>(new CodeArena());
  arena->size_ = round_up(bytes < 65536 ? 65536 : bytes, 4096);
  const bool mapped = backing == ArenaBacking::File ? arena->map_file() : arena->map_anonymous();
  if (!mapped) {
    *error = std::string("cannot map the code arena: ") + std::strerror(errno);
    return nullptr;
  }
  arena->top_ = arena->size_;
  arena->owner_by_granule_.assign(arena->size_ / kGranule, 0);
  return arena;
}

CodeArena::~CodeArena() {
  if (write_ != nullptr) munmap(write_, size_);
  if (execute_ != 0) munmap(reinterpret_cast<void*>(execute_), size_);
}

CodeExecuteView CodeArena::publish(std::span<const uint8_t> code, uint32_t owner) {
  if (!has_room(code.size())) return {0};
  const CodeExecuteView at = next();
  std::memcpy(write_ + used_, code.data(), code.size());
  const uint64_t first = used_;
  used_ = round_up(used_ + code.size(), kGranule);
  note_owner(first, used_, owner);
  return at;
}

CodeExecuteView CodeArena::reserve_at_top(uint64_t bytes, uint32_t owner) {
  DCHECK(has_room(bytes));
  const uint64_t end = top_;
  top_ -= round_up(bytes, kGranule);
  note_owner(top_, end, owner);
  return {execute_ + top_};
}

void CodeArena::set_owner(CodeExecuteView at, uint64_t bytes, uint32_t owner) {
  const uint64_t first = at.address - execute_;
  note_owner(first, round_up(first + bytes, kGranule), owner);
}

void CodeArena::note_owner(uint64_t first, uint64_t end, uint32_t owner) {
  for (uint64_t granule = first / kGranule; granule < end / kGranule; ++granule) {
    owner_by_granule_[granule] = owner;
  }
}

void CodeArena::reset() {
  used_ = kept_;
  reset_top();
}

uint32_t CodeArena::owner_of(uint64_t host_pc) const {
  DCHECK(contains(host_pc));
  return owner_by_granule_[(host_pc - execute_) / kGranule];
}

}  // namespace ringshift
