#include "tests/differential/system_lines.h"

#include "shadowmmu/paging_mode.h"
#include "tests/differential/system_case.h"

namespace ringshift::differential {
namespace {

using namespace system_layout;
constexpr uint32_t kLine = 16;

void put32(std::vector<uint8_t>* bytes, uint32_t value) {
  for (int i = 0; i < 4; ++i) bytes->push_back(static_cast<uint8_t>(value >> (8 * i)));
}

std::vector<uint8_t> with32(std::initializer_list<uint32_t> opcode, uint32_t value) {
  std::vector<uint8_t> bytes;
  for (const uint32_t byte : opcode) bytes.push_back(static_cast<uint8_t>(byte));
  put32(&bytes, value);
  return bytes;
}

}  // namespace

// No instruction crosses a line.
void SystemLines::add(Bytes instruction) {
  if (bytes_.size() % kLine + instruction.size() > kLine) align();
  bytes_.insert(bytes_.end(), instruction.begin(), instruction.end());
}

void SystemLines::append(std::initializer_list<uint32_t> bytes) {
  Bytes instruction;
  for (const uint32_t byte : bytes) instruction.push_back(static_cast<uint8_t>(byte));
  add(std::move(instruction));
}

void SystemLines::align() {
  while (bytes_.size() % kLine != 0) bytes_.push_back(0x90);
}

void SystemLines::load_eax(uint32_t value) { add(with32({0xb8}, value)); }
void SystemLines::push(uint32_t value) { add(with32({0x68}, value)); }

uint32_t SystemLines::selector() {
  constexpr uint32_t kUseful[] = {0x08, 0x10, 0x1b, 0x23, 0x23, 0, 3, 0x28, 0x30, 0x38, 0x40, 0x48};
  return random_.one_in(6) ? random_.below(0x80) : kUseful[random_.below(12)];
}

uint32_t SystemLines::data_address() {
  uint32_t offset = kData + random_.below(kDataEnd - kData);
  if (random_.one_in(4)) offset = (offset & ~0xfffU) + 0xfff - random_.below(4);
  return kLinear + offset;
}

uint32_t SystemLines::next_line(uint32_t lines) const {
  const auto size = static_cast<uint32_t>(bytes_.size());
  return linear_ + (size / kLine + lines) * kLine;
}

void SystemLines::flags() {
  switch (random_.below(5)) {
    case 0:
      return append({0xfa});  // cli
    case 1:
      return append({0xfb});  // sti
    case 2:
      append({0x9c});
      return append({0x5a});  // pushf; pop edx
    case 3:
      append({0xfb});
      return append({0xfa});
    default: {
      uint32_t value = random_.word() & 0x7ed5U;  // not TF; IOPL, NT among them
      if (random_.one_in(30)) value |= 0x100;
      push(value);
      return append({0x9d});
    }
  }
}

void SystemLines::segments() {
  constexpr uint32_t kModRm[] = {0xd8, 0xc0, 0xe0, 0xe8, 0xd8, 0xc0, 0xd0, 0xc8};  // last: CS, #UD
  load_eax(selector());
  switch (random_.below(4)) {
    case 0:  // push eax; pop ds/es/fs/gs
      append({0x50});
      switch (random_.below(4)) {
        case 0:
          return append({0x1f});
        case 1:
          return append({0x07});
        case 2:
          return append({0x0f, 0xa1});
        default:
          return append({0x0f, 0xa9});
      }
    case 1:  // mov gs, ax; mov edx, gs:[data]
      append({0x8e, 0xe8});
      return add(with32({0x65, 0x8b, 0x15}, data_address()));
    default:
      append({0x8e, kModRm[random_.below(random_.one_in(4) ? 8 : 6)]});
      return append({0x8c, 0xda});  // mov edx, ds
  }
}

void SystemLines::control() {
  constexpr uint32_t kCr0Bits[] = {kCr0Ts, kCr0Wp, kCr0Am, kCr0Mp, kCr0Em, kCr0Cd};
  constexpr uint32_t kCr4Bits[] = {0x10, 0x80, 0x4, 0x8, kCr4Osfxsr, 0x80000000};
  switch (random_.below(7)) {
    case 0:
    case 1: {  // mov eax, cr0; xor eax, bit; mov cr0, eax
      append({0x0f, 0x20, 0xc0});
      add(with32({0x35}, kCr0Bits[random_.below(6)]));
      return append({0x0f, 0x22, 0xc0});
    }
    case 2: {
      append({0x0f, 0x20, 0xe0});
      add(with32({0x35}, kCr4Bits[random_.below(6)]));
      return append({0x0f, 0x22, 0xe0});
    }
    case 3:
      load_eax(random_.one_in(2) ? kDirectory : kOtherDirectory);
      return append({0x0f, 0x22, 0xd8});
    case 4:
      return append({0x0f, 0x06});  // clts
    case 5:
      return append({0x0f, 0x20, 0xc2 + 8 * random_.below(5)});  // mov edx, crN
    default:
      load_eax(random_.word() & 0xffff);
      return append({0x0f, 0x23, 0xc0 + 8 * random_.below(4)});  // mov dr0-3, eax
  }
}

void SystemLines::tables() {
  const uint32_t at = data_address();
  switch (random_.below(8)) {
    case 0:
      return add(with32({0x0f, 0x01, 0x05}, at));  // sgdt
    case 1:
      return add(with32({0x0f, 0x01, 0x0d}, at));  // sidt
    case 2:
      return append({0x0f, 0x00, 0xc2});  // sldt edx
    case 3:
      return append({0x0f, 0x00, 0xca});  // str edx
    case 4:
      return append({0x0f, 0x01, 0xe2});  // smsw edx
    case 5:
      load_eax(random_.below(16) | 1);
      return append({0x0f, 0x01, 0xf0});  // lmsw ax
    case 6:
      load_eax(selector());
      return append({0x0f, 0x00, 0xd0});  // lldt ax
    default:
      return add(with32({0x0f, 0x01, 0x3d}, at));  // invlpg
  }
}

// A new entry for a data page, and INVLPG, without which nothing is promised (SDM 3A 4.10.4.2).
void SystemLines::page_table() {
  const uint32_t page = kData + random_.below(8) * 0x1000;
  const uint32_t target = kData + random_.below(8) * 0x1000;
  const uint32_t table = kLinear + (random_.one_in(4) ? kOtherTable : kTable);
  const uint32_t index = (page >> 12) * 4;
  const uint32_t entry = target | (random_.word() & 0x67) | (random_.one_in(4) ? 0 : 1);
  append({0x0e});  // push cs; pop edx: something before the store
  append({0x5a});
  Bytes store = with32({0xc7, 0x05}, table + index);
  put32(&store, entry);
  add(std::move(store));
  if (random_.one_in(3)) {
    append({0x0f, 0x20, 0xd8});  // mov eax, cr3; mov cr3, eax
    return append({0x0f, 0x22, 0xd8});
  }
  add(with32({0x0f, 0x01, 0x3d}, kLinear + page));
  add(with32({0xa1}, kLinear + page + random_.below(0xffc)));
}

void SystemLines::far_transfer() {
  const uint32_t code = random_.one_in(4) ? selector() : (user_ ? 0x1b : 0x08);
  align();
  switch (random_.below(4)) {
    case 0: {  // jmp far code:next line
      Bytes jump = with32({0xea}, next_line(1));
      jump.push_back(static_cast<uint8_t>(code));
      jump.push_back(0);
      return add(std::move(jump));
    }
    case 1: {  // call far
      Bytes call = with32({0x9a}, next_line(1));
      call.push_back(static_cast<uint8_t>(code));
      call.push_back(0);
      return add(std::move(call));
    }
    case 2:
      push(code);
      push(next_line(1));
      return append({0xcb});  // retf
    default:
      append({0x9c});  // pushf; push cs; push next; iret
      push(code);
      push(next_line(1));
      return append({0xcf});
  }
}

void SystemLines::software_interrupt() {
  switch (random_.below(5)) {
    case 0:
      return append({0xcc});
    case 1:
      return append({0xce});
    case 2:
      return append({0xf1});
    default:
      return append({0xcd, 0x20 + random_.below(0x10)});
  }
}

void SystemLines::ports() {
  const uint32_t port = kDevicePort + random_.below(4);
  switch (random_.below(6)) {
    case 0:
      return append({0xe4, port});
    case 1:
      return append({0xe5, port});
    case 2:
      return append({0xe6, port});
    case 3:
      return append({0xe7, port});
    case 4:
      return append({0x66, 0xe7, port});
    default:
      append({0x66, 0xba, port, 0});  // mov dx, port; in eax, dx
      return append({0xed});
  }
}

void SystemLines::memory() {
  const uint32_t at = data_address();
  switch (random_.below(6)) {
    case 0:
      return add(with32({0xa1}, at));  // mov eax, [at]
    case 1:
      return add(with32({0xa3}, at));  // mov [at], eax
    case 2:
      return add(with32({0x01, 0x05}, at));  // add [at], eax
    case 3:
      return add(with32({0xff, 0x35}, at));  // push [at]
    case 4:
      return add(with32({0xf0, 0x87, 0x15}, at));  // lock xchg [at], edx
    default:
      return add(with32({0x8f, 0x05}, at));  // pop [at]
  }
}

void SystemLines::strings() {
  const uint32_t source = data_address();
  uint32_t destination = data_address();
  // Less than 64 bytes apart in the same page of RAM, but at different linear addresses, a
  // processor's fast REP MOVS need not copy byte by byte (SDM 1 7.3.9.3), and Intel's do not.
  constexpr uint32_t kApart = 0x100;
  if (((destination - source + kApart) & 0xfffU) < 2 * kApart) destination += 2 * kApart;
  add(with32({0xbe}, source));                 // mov esi
  add(with32({0xbf}, destination));            // mov edi
  add(with32({0xb9}, random_.below(0x1800)));  // mov ecx
  append({random_.one_in(4) ? 0xfdU : 0xfcU});
  constexpr uint32_t kOperations[] = {0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xa6};
  append({0xf3, kOperations[random_.below(6)]});
  append({0xfc});
}

// mov eax, imm32 a line or more ahead gets another immediate, or becomes NOPs.
void SystemLines::self_modify() {
  align();
  const uint32_t ahead = 1 + random_.below(2);
  const uint32_t line = next_line(ahead);
  Bytes store;
  if (random_.one_in(2)) {
    store = with32({0xc7, 0x05}, line + 1);
    put32(&store, random_.word() | 0x90000000U);
  } else {
    store = with32({0xc7, 0x05}, line);
    put32(&store, 0x90909090);
  }
  add(std::move(store));
  for (uint32_t i = 0; i < ahead; ++i) {
    align();
    load_eax(0x90000000U | random_.below(0x1000));
  }
}

void SystemLines::go_to_user() {
  const uint32_t entry = kLinear + kUserCode + random_.below(8) * kLine;
  if (random_.one_in(3)) {  // sysexit
    add(with32({0xba}, entry));
    add(with32({0xb9}, kLinear + kUserStack));
    return append({0x0f, 0x35});
  }
  push(0x23);
  push(kLinear + kUserStack);
  push(0x202 | (random_.one_in(4) ? 0x3000 : 0));
  push(0x1b);
  push(entry);
  append({0xcf});
}

void SystemLines::sense() {
  load_eax(selector());
  constexpr uint32_t kSecond[] = {0x02, 0x03};  // lar, lsl edx, eax
  if (random_.one_in(2)) return append({0x0f, kSecond[random_.below(2)], 0xd0});
  append({0x0f, 0x00, random_.one_in(2) ? 0xe0U : 0xe8U});  // verr, verw ax
  append({0x0f, 0x94, 0xc2});
}

void SystemLines::step() {
  align();
  switch (random_.below(19)) {
    case 0:
    case 1:
      flags();
      break;
    case 2:
      segments();
      break;
    case 3:
    case 4:
      control();
      break;
    case 5:
      tables();
      break;
    case 6:
    case 7:
      page_table();
      break;
    case 8:
      far_transfer();
      break;
    case 9:
      software_interrupt();
      break;
    case 10:
      ports();
      break;
    case 11:
    case 12:
    case 13:
      memory();
      break;
    case 14:
      strings();
      break;
    case 15:
      self_modify();
      break;
    case 16:
      go_to_user();
      break;
    case 17:
      sense();
      break;
    default:
      append({0x0f, random_.one_in(2) ? 0x34U : 0x0bU});
      break;  // sysenter, ud2
  }
  align();
}

}  // namespace ringshift::differential
