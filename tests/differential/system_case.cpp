#include "tests/differential/system_case.h"

#include <array>
#include <cstdio>
#include <cstring>
#include <span>

#include "monitor/cpu/control_registers.h"
#include "tests/differential/system_lines.h"
#include "tests/support/cpu_fixture.h"
#include "translator/decode.h"
#include "translator/disassemble.h"

namespace ringshift::differential {
namespace {

using namespace system_layout;

constexpr uint32_t kSteps = 24;
constexpr uint32_t kUserSteps = 16;
constexpr uint32_t kStubBytes = 16;
constexpr uint32_t kMostEvents = 40;
constexpr uint32_t kEventBytes = 32;
constexpr uint32_t kLogCursor = kLog, kEventsLeft = kLog + 4;
constexpr uint32_t kCommon = kHandlers + 0x1000;
constexpr uint32_t kSysenterEntry = kHandlers + 0x1800;
constexpr uint32_t kVectors = 0x40;
constexpr uint8_t kUserEnd = 0x3f;

class Builder {
 public:
  explicit Builder(uint64_t seed) : random_(seed) { test_.ram.resize(kRam); }

  SystemCase build(const std::vector<bool>& dropped) {
    for (uint32_t at = kData; at < kDataEnd; at += 4) put32(at, random_.value());
    write_page_tables();
    write_segments();
    write_handlers();
    write_code(kKernelCode, kSteps, 0, dropped);
    write_code(kUserCode, kUserSteps, kSteps, dropped);
    set_start();
    return std::move(test_);
  }

 private:
  void put32(uint32_t at, uint32_t value) { std::memcpy(&test_.ram[at], &value, 4); }
  void put(uint32_t at, std::span<const uint8_t> bytes) {
    std::memcpy(&test_.ram[at], bytes.data(), bytes.size());
  }

  void write_page_tables() {
    constexpr uint32_t kKernelPage = 0x63, kUserPage = 0x67;
    for (const uint32_t directory : {kDirectory, kOtherDirectory}) {
      const uint32_t table = directory + 0x1000;
      put32(directory + (kLinear >> 22) * 4, table | kUserPage);
      for (uint32_t page = 0; page < kRam; page += 0x1000) {
        uint32_t bits = kKernelPage;
        if ((page >= kUserCode && page < kCodeEnd) || page == kUserStack - 0x1000) bits = kUserPage;
        // Data pages: any mix of present, writable, user; A and D to be set.
        if (page >= kData && page < kDataEnd) {
          bits = (random_.word() & 6) | (random_.one_in(4) ? 0 : 1);
        }
        put32(table + (page >> 12) * 4, page | bits);
      }
    }
  }

  void write_segments() {
    const auto descriptor = [this](uint32_t selector, uint32_t base, uint32_t limit,
                                   uint32_t attributes) {
      put32(kGdt + selector, (base << 16) | (limit & 0xffff));
      put32(kGdt + selector + 4,
            ((base >> 16) & 0xff) | (attributes << 8) | (limit & 0xf0000) | (base & 0xff000000));
    };
    descriptor(0x08, 0, 0xfffff, 0xc09b);
    descriptor(0x10, 0, 0xfffff, 0xc093);
    descriptor(0x18, 0, 0xfffff, 0xc0fb);
    descriptor(0x20, 0, 0xfffff, 0xc0f3);
    descriptor(0x28, kLinear + kTss, 0x8f, 0x8b);
    descriptor(0x30, kLinear + kData, 0xfff, 0x40f3);  // small user data
    descriptor(0x38, 0, 0xfffff, 0xc073);              // not present
    descriptor(0x40, 0, 0xfffff, 0xc09f);              // conforming code
    descriptor(0x48, kLinear + kData, 0xff, 0x0082);   // LDT
    put32(kTss + tss32::kEsp0, kLinear + kStack0);
    put32(kTss + tss32::kSs0, 0x10);
    put32(kTss + tss32::kTrap, 0x68U << 16);
    put32(kTss + 0x68 + 0x1c, random_.word());  // ports 0xe0 and up: some are the user's
  }

  void write_handlers() {
    for (uint32_t vector = 0; vector < kVectors; ++vector) {
      const uint32_t stub = kHandlers + vector * kStubBytes;
      const bool has_code = vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
      std::vector<uint8_t> code;
      if (!has_code) code = {0x6a, 0};
      code.insert(code.end(), {0x6a, static_cast<uint8_t>(vector), 0xe9});
      const uint32_t after = stub + static_cast<uint32_t>(code.size()) + 4;
      put(stub, code);
      put32(after - 4, kCommon - after);
      const uint32_t dpl = vector >= 0x28 || vector == 3 || vector == 4 ? 0x6000 : 0;
      put32(kIdt + vector * 8, (8U << 16) | ((kLinear + stub) & 0xffff));
      put32(kIdt + vector * 8 + 4,
            ((kLinear + stub) & 0xffff0000U) | 0x8e00 | dpl | (random_.one_in(3) ? 0x100 : 0));
    }
    write_common();
    put(kSysenterEntry, std::array<uint8_t, 4>{0xb0, 0x77, 0xe6, 0xf4});
    put32(kLogCursor, kLinear + kLog + kEventBytes);
    put32(kEventsLeft, kMostEvents);
  }

  // Notes vector, error code, EIP, CS, EFLAGS, CR2 and goes on at the next line of code.
  void write_common() {
    std::vector<uint8_t> code = {0x60,                       // pushad
                                 0xb8, 0x23, 0,    0,    0,  // mov eax, 0x23
                                 0x8e, 0xd8, 0x8e, 0xc0,     // mov ds, ax; mov es, ax
                                 0xfc};                      // cld
    const auto absolute = [&code](std::initializer_list<uint8_t> opcode, uint32_t address) {
      code.insert(code.end(), opcode);
      for (int i = 0; i < 4; ++i) code.push_back(static_cast<uint8_t>(address >> (8 * i)));
    };
    absolute({0x8b, 0x1d}, kLinear + kLogCursor);  // mov ebx, [cursor]
    for (uint8_t i = 0; i < 5; ++i) {              // vector, error, eip, cs, eflags
      const auto from = static_cast<uint8_t>(32 + 4 * i);
      code.insert(code.end(), {0x8b, 0x44, 0x24, from, 0x89, 0x43, static_cast<uint8_t>(4 * i)});
    }
    code.insert(code.end(), {0x0f, 0x20, 0xd0, 0x89, 0x43, 20,  // mov eax, cr2; mov [ebx+20], eax
                             0x83, 0xc3, kEventBytes});         // add ebx, bytes
    absolute({0x89, 0x1d}, kLinear + kLogCursor);
    absolute({0xff, 0x0d}, kLinear + kEventsLeft);                          // dec [left]
    code.insert(code.end(), {0x74, 0x26,                                    // jz stop
                             0x80, 0x7c, 0x24, 32,   kUserEnd, 0x74, 0x1f,  // the user's last: stop
                             0x8b, 0x44, 0x24, 40,                          // mov eax, [esp+40]
                             0x83, 0xe0, 0xf0, 0x83, 0xc0,     0x10,        // next line
                             0x89, 0x44, 0x24, 40});
    absolute({0x2d}, kLinear + kKernelCode);  // outside the code: stop
    absolute({0x3d}, kCodeEnd - kKernelCode);
    code.insert(code.end(), {0x73, 0x05,                 // jae stop
                             0x61, 0x83, 0xc4, 8, 0xcf,  // popad; add esp, 8; iretd
                             0xe6, 0xf4});               // stop: out 0xf4, al
    put(kCommon, code);
  }

  // first: the number of its first step in `dropped`.
  void write_code(uint32_t at, uint32_t steps, uint32_t first, const std::vector<bool>& dropped) {
    const bool user = first != 0;
    std::vector<uint8_t> all;
    for (uint32_t i = 0; i < steps; ++i) {
      const auto place = kLinear + at + static_cast<uint32_t>(all.size());
      SystemLines lines(random_, place, user);
      lines.step();
      std::vector<uint8_t> bytes = lines.bytes();
      if (first + i < dropped.size() && dropped[first + i]) bytes.assign(bytes.size(), 0x90);
      all.insert(all.end(), bytes.begin(), bytes.end());
    }
    if (user) {
      all.insert(all.end(), {0xcd, kUserEnd});
    } else {
      all.insert(all.end(), {0xe6, 0xf4});
    }
    put(at, all);
  }

  void set_start() {
    GuestState& state = test_.start;
    reset(state);
    constexpr uint16_t kFlatCode = 0xc09b, kFlatData = 0xc093;
    for (SegmentCache& segment : state.segment) segment = {0, ~0U, 0x10, kFlatData};
    for (const auto data : {SegmentRegister::Ds, SegmentRegister::Es}) {
      state.seg(data) = {0, ~0U, 0x23, 0xc0f3};
    }
    state.seg(SegmentRegister::Cs) = {0, ~0U, 0x08, kFlatCode};
    for (uint32_t& value : state.gpr) value = random_.value();
    state.reg(Gpr::Esp) = kLinear + kStack0 - 0x400;
    state.eip = kLinear + kKernelCode;
    state.eflags = kFlagReservedOne | (random_.one_in(2) ? kFlagIf : 0);
    state.cr0 = kCr0Pe | kCr0Et | kCr0Ne | kCr0Pg | (random_.one_in(2) ? kCr0Wp : 0);
    state.cr3 = kDirectory;
    state.gdtr = {kLinear + kGdt, 0x4f};
    state.idtr = {kLinear + kIdt, kVectors * 8 - 1};
    state.tr = {kLinear + kTss, 0x8f, 0x28, 0x8b};
    state.ldtr = SegmentCache{};
    state.sysenter_cs = 8;
    state.sysenter_esp = kLinear + kStack0 - 0x200;
    state.sysenter_eip = kLinear + kSysenterEntry;
    state.tsc_offset = 0;
  }

  Random random_;
  SystemCase test_;
};

std::string list_range(const SystemCase& test, uint32_t from, uint32_t to) {
  std::string text;
  for (uint32_t at = from; at < to;) {
    GuestInstruction instruction;
    const uint32_t eip = kLinear + at;
    const bool ok =
        decode({&test.ram[at], to - at}, DecodeMode::Bits32, &instruction) == DecodeOutcome::Ok;
    const std::string words = ok ? disassemble_guest(instruction, Eip(eip)) : "(bytes)";
    char address[16];
    std::snprintf(address, sizeof(address), "  %08x  ", eip);
    if (words != "nop") text += address + words + "\n";
    at += ok ? instruction.length : 1;
  }
  return text;
}

}  // namespace

uint32_t step_count() { return kSteps + kUserSteps; }

SystemCase generate_system(uint64_t seed, const std::vector<bool>& dropped) {
  return Builder(seed).build(dropped);
}

std::string system_listing(const SystemCase& test) {
  const auto end_of = [&test](uint32_t from) {
    uint32_t end = from + 0x1000;
    while (end > from && test.ram[end - 1] == 0) --end;
    return end;
  };
  return "CPL 0:\n" + list_range(test, kKernelCode, end_of(kKernelCode)) + "CPL 3:\n" +
         list_range(test, kUserCode, end_of(kUserCode));
}

}  // namespace ringshift::differential
