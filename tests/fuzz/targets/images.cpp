// Any file as an image: kernels with initial RAM disks and modules, firmware, disks, and files that
// the laboratory unpacks. It is taken, or refused in one line that leaves the guest's state as it
// was.
#include <algorithm>
#include <cstring>
#include <memory>

#include "devices/host/host_disk.h"
#include "monitor/boot/boot.h"
#include "monitor/boot/boot_firmware.h"
#include "monitor/lab/census/census_image.h"
#include "monitor/lab/census/linux_payload.h"
#include "shadowmmu/base/check.h"
#include "tests/fuzz/targets/fuzz_bytes.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/fuzz/targets/memory_file.h"

namespace ringshift::fuzz {
namespace {

constexpr uint64_t kRam = uint64_t{4} << 20;

void check_refusal(const std::string& error) {
  CHECK(!error.empty() && error.size() < 500);
  CHECK(std::none_of(error.begin(), error.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7f;
  }));
}

bool same(const GuestState& left, const GuestState& right) {
  return left.gpr == right.gpr && left.eip == right.eip && left.eflags == right.eflags &&
         left.cr0 == right.cr0 && left.cpl == right.cpl && left.gdtr.base == right.gdtr.base;
}

void boot(FuzzBytes& bytes, uint8_t shape) {
  const std::string command_line = bytes.text(bytes.u8());
  const size_t other_bytes = bytes.u16();
  const MemoryFile other(bytes.take(other_bytes));
  MemoryFile kernel(bytes.rest());
  // Kernels whose headers name much of the file, without an input that is as long.
  if ((shape & 1) != 0) kernel.grow(kRam / 4);
  BootRequest request;
  request.kernel_path = kernel.path();
  request.command_line = command_line;
  if ((shape & 2) != 0) request.initrd_path = other.path();
  for (uint32_t i = shape >> 4 & 3; i != 0; --i) request.modules.push_back({other.path(), "x"});
  std::string error;
  const auto ram = GuestMemory::create((shape & 4) != 0 ? kRam : kRam / 2, &error);
  CHECK(ram != nullptr);
  GuestState state;
  const GuestState before = state;
  const BootResult result = boot_guest(request, *ram, state);
  if (result.ok) return;
  check_refusal(result.error);
  CHECK(same(state, before));
}

void read_firmware(FuzzBytes& bytes, uint8_t shape) {
  MemoryFile file(bytes.rest());
  if ((shape & 1) != 0) file.grow(uint64_t{1} << (10 + (shape >> 4)));
  std::vector<uint8_t> read;
  std::string error;
  if (!read_bios(file.path(), &read, &error)) check_refusal(error);
  error.clear();
  if (!read_video_bios(file.path(), &read, &error)) check_refusal(error);
}

// Written sectors read back as written; the others read as the file held them.
void use_disk(FuzzBytes& bytes, uint8_t shape) {
  const auto access = static_cast<DiskAccess>(shape % 3);
  const uint64_t sectors = bytes.u16();
  const uint64_t size = sectors * 512 + bytes.u8();
  MemoryFile file({});
  file.grow(size);
  std::string error;
  const auto disk = HostDisk::open(file.path(), access, (shape & 8) != 0 ? 2048 : 512, &error);
  if (disk == nullptr) return check_refusal(error);
  CHECK(disk->bytes() <= size);
  std::vector<uint8_t> mirror(disk->bytes());
  while (!bytes.empty()) {
    const uint64_t at = bytes.u32() % disk->bytes();
    const size_t length = std::min<uint64_t>(bytes.u16(), disk->bytes() - at);
    const std::vector<uint8_t> data(length, bytes.u8());
    if (!disk->read_only() && disk->write(at, data)) {
      std::copy(data.begin(), data.end(), mirror.begin() + static_cast<ptrdiff_t>(at));
    }
    std::vector<uint8_t> back(length);
    CHECK(disk->read(at, back));
    CHECK(std::equal(back.begin(), back.end(), mirror.begin() + static_cast<ptrdiff_t>(at)));
    CHECK(disk->flush());
  }
}

// Small: what unpacks to much is bounded by the limit, which the census takes from its user's RAM.
void unpack(FuzzBytes& bytes) {
  constexpr uint64_t kLimit = uint64_t{16} << 20;
  lab::LinuxPayload payload;
  const std::string problem = lab::unpack_linux(bytes.rest(), &payload, kLimit);
  if (!problem.empty()) check_refusal(problem);
  CHECK(payload.bytes.size() <= kLimit);
}

void take_census(FuzzBytes& bytes) {
  const MemoryFile file(bytes.rest());
  std::string error;
  const auto image = lab::CensusImage::open(file.path(), &error);
  if (image == nullptr) return check_refusal(error);
  for (const lab::ImageRange& range : image->code()) {
    (void)image->code_at(image->linked(range.address));
  }
}

}  // namespace

void fuzz_images(std::span<const uint8_t> input) {
  FuzzBytes bytes(input);
  const uint8_t kind = bytes.u8();
  const uint8_t shape = bytes.u8();
  switch (kind % 8) {
    case 0:
      return read_firmware(bytes, shape);
    case 1:
      return use_disk(bytes, shape);
    case 2:
      return unpack(bytes);
    case 3:
      return take_census(bytes);
    default:
      return boot(bytes, shape);
  }
}

}  // namespace ringshift::fuzz
