#include "monitor/boot/boot_elf.h"

#include <fmt/core.h>

#include <algorithm>

namespace ringshift {

namespace {

constexpr uint32_t kElfMagic = 0x464c457f;
constexpr uint64_t kClass = 4;
constexpr uint64_t kDataEncoding = 5;
constexpr uint64_t kType = 16;
constexpr uint64_t kMachine = 18;
constexpr uint64_t kEntry = 24;
constexpr uint64_t kProgramHeaders = 28;
constexpr uint64_t kProgramHeaderSize = 42;
constexpr uint64_t kProgramHeaderCount = 44;
constexpr uint64_t kFileHeaderBytes = 52;
constexpr uint64_t kProgramHeaderBytes = 32;

constexpr uint8_t kClass64 = 2;
constexpr uint8_t kLittleEndian = 1;
constexpr uint16_t kExecutable = 2;
constexpr uint16_t kMachine386 = 3;
constexpr uint32_t kLoadable = 1;

struct MachineName {
  uint16_t number;
  const char* name;
};
constexpr MachineName kMachineNames[] = {{2, "SPARC"},    {8, "MIPS"},      {20, "PowerPC"},
                                         {21, "PowerPC"}, {22, "S/390"},    {40, "ARM"},
                                         {62, "x86-64"},  {183, "AArch64"}, {243, "RISC-V"}};

struct ProgramHeader {
  uint32_t type;
  uint64_t virtual_address;
  LoadSegment segment;
};

ProgramHeader read_program_header(ByteView head, uint64_t at) {
  return {head.u32(at),
          head.u32(at + 8),
          {head.u32(at + 4), head.u32(at + 16), head.u32(at + 12), head.u32(at + 20)}};
}

// The entry point is a link address; where a kernel is linked elsewhere than it is loaded it has to
// be carried over. Some kernels give the physical address instead.
bool translate_entry(uint64_t entry, const std::vector<ProgramHeader>& headers, uint64_t* result) {
  const auto holds = [entry](uint64_t start, uint64_t length) {
    return entry >= start && entry - start < length;
  };
  for (const ProgramHeader& header : headers) {
    if (holds(header.virtual_address, header.segment.memory_bytes)) {
      *result = entry - header.virtual_address + header.segment.address;
      return true;
    }
  }
  *result = entry;
  return std::any_of(headers.begin(), headers.end(), [&](const ProgramHeader& header) {
    return holds(header.segment.address, header.segment.memory_bytes);
  });
}

std::string file_header_problem(ByteView head) {
  if (!head.has(0, kFileHeaderBytes)) return "is truncated (ends in the ELF header)";
  if (auto problem = wrong_elf_machine(head); !problem.empty()) return problem;
  if (head.u16(kType) != kExecutable) return "is an ELF file, but not an executable one";
  if (head.u16(kProgramHeaderSize) < kProgramHeaderBytes) {
    return "has ELF program headers of an impossible size";
  }
  const uint64_t table_bytes =
      uint64_t{head.u16(kProgramHeaderSize)} * head.u16(kProgramHeaderCount);
  if (!head.has(head.u32(kProgramHeaders), table_bytes)) {
    return fmt::format("has its ELF program headers outside its first {} KiB", head.size() / 1024);
  }
  return {};
}

}  // namespace

bool is_elf(ByteView head) { return head.u32(0) == kElfMagic; }

std::string wrong_elf_machine(ByteView head) {
  const uint16_t machine = head.u16(kMachine);
  // A big-endian file has the two bytes the other way round; its machine is another one anyway.
  if (head.u8(kDataEncoding) != kLittleEndian) return "is a big-endian ELF file, not an i386 one";
  if (machine == kMachine386 && head.u8(kClass) != kClass64) return {};
  const auto* name =
      std::find_if(std::begin(kMachineNames), std::end(kMachineNames),
                   [machine](const MachineName& entry) { return entry.number == machine; });
  const char* bits = head.u8(kClass) == kClass64 ? "64-bit" : "32-bit";
  if (name != std::end(kMachineNames)) {
    return fmt::format("is a {} ELF file for {}, this machine is a 32-bit i386", bits, name->name);
  }
  return fmt::format("is a {} ELF file for machine number {}, this machine is a 32-bit i386", bits,
                     machine);
}

std::string read_elf_plan(const BootImage& image, LoadPlan* plan) {
  const ByteView head = image.head();
  if (auto problem = file_header_problem(head); !problem.empty()) return problem;
  std::vector<ProgramHeader> loadable;
  for (uint64_t i = 0; i < head.u16(kProgramHeaderCount); ++i) {
    const ProgramHeader header =
        read_program_header(head, head.u32(kProgramHeaders) + i * head.u16(kProgramHeaderSize));
    if (header.type != kLoadable || header.segment.memory_bytes == 0) continue;
    if (header.segment.file_bytes > header.segment.memory_bytes) {
      return fmt::format("has an ELF segment (number {}) larger in the file than in memory", i);
    }
    if (!range_fits(header.segment.file_offset, header.segment.file_bytes, image.size())) {
      return fmt::format("is truncated (ELF segment {} ends past the file)", i);
    }
    loadable.push_back(header);
    plan->segments.push_back(header.segment);
  }
  if (loadable.empty()) return "is an ELF file with nothing to load";
  if (!translate_entry(head.u32(kEntry), loadable, &plan->entry)) {
    return fmt::format("has its entry point ({:#x}) outside its segments", head.u32(kEntry));
  }
  return {};
}

}  // namespace ringshift
