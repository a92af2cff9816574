#include "bench/micro/code_stream.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string_view>

namespace ringshift {
namespace {

// Code as compilers make it of small functions: prologue, loads and stores, tests, calls, a loop.
constexpr std::string_view kBundled =
    "55 89 e5 57 56 53 83 ec 1c "           // push ebp ... sub esp, 28
    "8b 75 08 8b 5d 0c 85 db "              // mov esi, [ebp+8]; mov ebx, [ebp+12]; test ebx, ebx
    "74 2a 31 ff 8d 76 00 "                 // jz; xor edi, edi; lea esi, [esi]
    "0f b6 04 3e 84 c0 74 1e "              // movzx eax, [esi+edi]; test al, al; jz
    "3c 2f 75 0a "                          // cmp al, '/'; jnz
    "c7 44 24 04 01 00 00 00 89 1c 24 "     // mov dword [esp+4], 1; mov [esp], ebx
    "e8 10 00 00 00 85 c0 0f 95 c2 "        // call; test eax, eax; setnz dl
    "83 c7 01 39 fb 75 e0 "                 // add edi, 1; cmp ebx, edi; jnz
    "8b 83 a0 00 00 00 03 44 bb 04 "        // mov eax, [ebx+160]; add eax, [ebx+edi*4+4]
    "c1 e0 04 25 f0 0f 00 00 89 43 08 "     // shl eax, 4; and eax, 0xff0; mov [ebx+8], eax
    "8d 65 f4 5b 5e 5f 5d c3 66 90 66 90 "  // lea esp, [ebp-12]; pop ...; ret; nops
    ;

uint32_t load32(const std::vector<uint8_t>& file, size_t at) {
  uint32_t value = 0;
  if (at + sizeof(value) <= file.size()) std::memcpy(&value, file.data() + at, sizeof(value));
  return value;
}

// The executable segment of an ELF32 file; empty if there is none. Fields: gABI, chapters 4 and 5.
std::vector<uint8_t> executable_segment(const std::vector<uint8_t>& file) {
  constexpr uint32_t kMagic = 0x464c457f, kLoad = 1, kExecutable = 1;
  constexpr size_t kTableOffset = 28, kEntryBytes = 32, kCountOffset = 44;
  if (load32(file, 0) != kMagic) return {};
  const size_t table = load32(file, kTableOffset);
  const size_t count = load32(file, kCountOffset) & 0xffffU;
  for (size_t i = 0; i < count; ++i) {
    const size_t at = table + i * kEntryBytes;
    const size_t offset = load32(file, at + 4);
    const size_t bytes = load32(file, at + 16);
    if (load32(file, at) != kLoad || (load32(file, at + 24) & kExecutable) == 0) continue;
    if (offset > file.size() || bytes > file.size() - offset) continue;
    const auto first = file.begin() + static_cast<ptrdiff_t>(offset);
    return {first, first + static_cast<ptrdiff_t>(std::min<size_t>(bytes, CodeStream::kMostBytes))};
  }
  return {};
}

std::string busybox_path() {
  if (const char* cache = std::getenv("RINGSHIFT_CACHE")) {
    return std::string(cache) + "/guests/busybox";
  }
  const char* home = std::getenv("HOME");
  return home == nullptr ? "" : std::string(home) + "/.cache/ringshift/guests/busybox";
}

CodeText find_code_bytes() {
  std::ifstream file(busybox_path(), std::ios::binary);
  const std::vector<uint8_t> whole{std::istreambuf_iterator<char>(file), {}};
  std::vector<uint8_t> text = executable_segment(whole);
  if (!text.empty()) return {std::move(text), "busybox"};
  const std::vector<uint8_t> bundled = bytes_of_hex(kBundled);
  while (text.size() + bundled.size() <= 64 * 1024) {
    text.insert(text.end(), bundled.begin(), bundled.end());
  }
  return {std::move(text), "bundled"};
}

}  // namespace

const CodeText& code_text() {
  static const CodeText bytes = find_code_bytes();
  return bytes;
}

CodeStream::CodeStream(AccessStyle style) : machine(style) {
  machine.load(kBase, code_text().bytes);
  const uint32_t end = kBase + static_cast<uint32_t>(code_text().bytes.size());
  TranslationUnit unit;
  // Bytes that decode to nothing are stepped over one by one.
  for (uint32_t eip = kBase; eip < end; eip += std::max(unit.byte_length(), 1U)) {
    plan(machine.key_at(eip), machine, machine, {}, {}, &unit);
    blocks.push_back(unit.key);
    instructions += unit.instructions.size();
  }
}

}  // namespace ringshift
