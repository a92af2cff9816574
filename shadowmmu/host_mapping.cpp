#include "shadowmmu/host_mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>

#include "shadowmmu/base/check.h"

namespace ringshift {
namespace {

void* pointer(HostAddress address) {
  return reinterpret_cast<void*>(static_cast<uintptr_t>(address.value()));
}

HostAddress address_of(const void* pointer) {
  return HostAddress(static_cast<uint64_t>(reinterpret_cast<uintptr_t>(pointer)));
}

int protection(HostAccess access) {
  switch (access) {
    case HostAccess::None:
      return PROT_NONE;
    case HostAccess::Read:
      return PROT_READ;
    case HostAccess::ReadWrite:
      return PROT_READ | PROT_WRITE;
    case HostAccess::ReadExecute:
      break;  // of a sandboxed process only; guest bytes never run in ours
  }
  UNREACHABLE();
}

bool page_aligned(uint64_t value) { return value % kPageSize == 0; }

HostResult map_at(HostAddress at, size_t bytes, int prot, int flags, int descriptor,
                  uint64_t offset) {
  CHECK(page_aligned(at.value()) && page_aligned(bytes) && page_aligned(offset));
  void* mapped = mmap(pointer(at), bytes, prot, flags, descriptor, static_cast<off_t>(offset));
  return mapped == MAP_FAILED ? HostResult(errno) : HostResult();
}

constexpr int kReservationFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

}  // namespace

std::string HostResult::text() const { return std::generic_category().message(error_); }

namespace {

constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW;
// Mappings for writing that exist already would still write; a file that is sealed here has none.
// F_SEAL_WRITE, which looks for them, refuses shared mappings for reading, too, where the
// descriptor could write (before Linux 6.7).
constexpr int kContentSeals = F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;

HostResult make_memfd(const char* name, uint64_t bytes, int seals, int* descriptor) {
  *descriptor = -1;
  int made = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (made < 0) return HostResult(errno);
  if (ftruncate(made, static_cast<off_t>(bytes)) != 0 || fcntl(made, F_ADD_SEALS, seals) != 0) {
    HostResult result(errno);
    close(made);
    return result;
  }
  *descriptor = made;
  return HostResult();
}

}  // namespace

HostResult create_memfd(const char* name, uint64_t bytes, int* descriptor) {
  return make_memfd(name, bytes, kSizeSeals | F_SEAL_SEAL, descriptor);
}

HostResult create_sealable_memfd(const char* name, uint64_t bytes, int* descriptor) {
  return make_memfd(name, bytes, kSizeSeals, descriptor);
}

HostResult seal_contents(int descriptor) {
  return fcntl(descriptor, F_ADD_SEALS, kContentSeals) == 0 ? HostResult() : HostResult(errno);
}

bool is_sealed(int descriptor, uint64_t bytes) {
  constexpr int kWanted = F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE;
  const int seals = fcntl(descriptor, F_GET_SEALS);
  const off_t end = lseek(descriptor, 0, SEEK_END);
  return seals >= 0 && (seals & kWanted) == kWanted && end >= 0 &&
         static_cast<uint64_t>(end) >= bytes;
}

HostResult discard_contents(int descriptor, uint64_t offset, uint64_t bytes) {
  constexpr int kMode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  const int result =
      fallocate(descriptor, kMode, static_cast<off_t>(offset), static_cast<off_t>(bytes));
  return result == 0 ? HostResult() : HostResult(errno);
}

HostResult reserve_contents(int descriptor, uint64_t offset, uint64_t bytes) {
  int result = 0;
  do {
    result = fallocate(descriptor, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                       static_cast<off_t>(bytes));
  } while (result != 0 && errno == EINTR);
  return result == 0 ? HostResult() : HostResult(errno);
}

HostResult read_contents(int descriptor, uint64_t offset, std::span<uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = pread(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return HostResult(count == 0 ? ENODATA : errno);
    offset += static_cast<uint64_t>(count);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return HostResult();
}

HostResult write_contents(int descriptor, uint64_t offset, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t count =
        pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return HostResult(count == 0 ? ENOSPC : errno);
    offset += static_cast<uint64_t>(count);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return HostResult();
}

ByteRange next_contents(int descriptor, uint64_t offset, uint64_t end) {
  const off_t begin = lseek(descriptor, static_cast<off_t>(offset), SEEK_DATA);
  if (begin < 0) return errno == ENXIO ? ByteRange{} : ByteRange{offset, end};
  if (static_cast<uint64_t>(begin) >= end) return {};
  const off_t hole = lseek(descriptor, begin, SEEK_HOLE);
  const uint64_t until = hole < 0 ? end : std::min(end, static_cast<uint64_t>(hole));
  return {static_cast<uint64_t>(begin), until};
}

bool has_contents(int descriptor, uint64_t offset, uint64_t end) {
  const off_t begin = lseek(descriptor, static_cast<off_t>(offset), SEEK_DATA);
  return begin < 0 ? errno != ENXIO : static_cast<uint64_t>(begin) < end;
}

void close_descriptor(int descriptor) {
  if (descriptor >= 0) close(descriptor);
}

HostResult map_shared(int descriptor, uint64_t offset, size_t bytes, HostAccess access,
                      HostAddress* mapped) {
  void* found = mmap(nullptr, bytes, protection(access), MAP_SHARED | MAP_NORESERVE, descriptor,
                     static_cast<off_t>(offset));
  if (found == MAP_FAILED) return HostResult(errno);
  *mapped = address_of(found);
  return HostResult();
}

HostResult map_private(size_t bytes, HostAddress* mapped) {
  void* result = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (result == MAP_FAILED) return HostResult(errno);
  *mapped = HostAddress(reinterpret_cast<uint64_t>(result));
  return HostResult();
}

HostResult discard(HostAddress at, size_t bytes) {
  const int result = madvise(reinterpret_cast<void*>(at.value()), bytes, MADV_DONTNEED);
  return HostResult(result == 0 ? 0 : errno);
}

HostResult reserve(size_t bytes, size_t alignment, HostAddress* reserved) {
  CHECK(alignment >= kPageSize && (alignment & (alignment - 1)) == 0 && page_aligned(bytes));
  size_t slack = alignment - kPageSize;
  if (bytes == 0 || bytes > SIZE_MAX - slack) return HostResult(EINVAL);
  void* found = mmap(nullptr, bytes + slack, PROT_NONE, kReservationFlags, -1, 0);
  if (found == MAP_FAILED) return HostResult(errno);
  HostAddress start = address_of(found);
  HostAddress aligned((start.value() + slack) & ~static_cast<uint64_t>(alignment - 1));
  size_t head = static_cast<size_t>(aligned - start);
  // Where the host has joined it to a neighbour of the same kind, giving back an end takes a
  // mapping more and may be refused. Then that much address space is lost, which costs nothing.
  if (head != 0) (void)munmap(found, head);
  if (head != slack) (void)munmap(pointer(aligned + bytes), slack - head);
  *reserved = aligned;
  return HostResult();
}

HostResult reserve_at(HostAddress at, size_t bytes) {
  return map_at(at, bytes, PROT_NONE, kReservationFlags | MAP_FIXED_NOREPLACE, -1, 0);
}

uint32_t most_host_mappings() {
  constexpr uint32_t kDefault = 65530;  // Linux's, if it does not say
  // Read once: later the process may open no file.
  static const uint32_t limit = [] {
    std::ifstream file("/proc/sys/vm/max_map_count");
    uint64_t most = 0;
    if (!(file >> most)) return kDefault;
    return static_cast<uint32_t>(std::min<uint64_t>(most, UINT32_MAX));
  }();
  return limit;
}

HostResult map_fixed(HostAddress at, int descriptor, uint64_t offset, size_t bytes,
                     HostAccess access, Population population) {
  int populate = population == Population::Now ? MAP_POPULATE : 0;
  return map_at(at, bytes, protection(access), MAP_SHARED | MAP_NORESERVE | MAP_FIXED | populate,
                descriptor, offset);
}

HostResult unmap_to_reserved(HostAddress at, size_t bytes) {
  return map_at(at, bytes, PROT_NONE, kReservationFlags | MAP_FIXED, -1, 0);
}

HostResult protect(HostAddress at, size_t bytes, HostAccess access) {
  CHECK(page_aligned(at.value()) && page_aligned(bytes));
  return mprotect(pointer(at), bytes, protection(access)) == 0 ? HostResult() : HostResult(errno);
}

HostResult release(HostAddress at, size_t bytes) {
  return munmap(pointer(at), bytes) == 0 ? HostResult() : HostResult(errno);
}

}  // namespace ringshift
