// PagingMode: the control-register bits that decide how a linear address is translated. A small
// value, made from the guest's CR0, CR3, CR4 and EFER. SDM 3A 4.1.
#pragma once

#include <array>
#include <cstdint>

namespace ringshift {

inline constexpr uint32_t kCr0Wp = 1U << 16;
inline constexpr uint32_t kCr0Pg = 1U << 31;
inline constexpr uint32_t kCr4Pse = 1U << 4;
inline constexpr uint32_t kCr4Pae = 1U << 5;
inline constexpr uint32_t kCr4Pge = 1U << 7;
inline constexpr uint64_t kEferNxe = 1U << 11;

struct PagingMode {
  bool paging = false;         // CR0.PG
  bool pae = false;            // CR4.PAE
  bool pse = false;            // CR4.PSE (2-level only; PAE always has large pages)
  bool global = false;         // CR4.PGE
  bool write_protect = false;  // CR0.WP
  bool no_execute = false;     // EFER.NXE and PAE
  uint32_t cr3 = 0;
  // The four page-directory-pointer entries as loaded by MOV CR3 (SDM 3A 4.4.1); PAE only.
  std::array<uint64_t, 4> pdpte{};
  bool operator==(const PagingMode&) const = default;
};

enum class AccessKind : uint8_t { Read, Write, Fetch };
enum class Privilege : uint8_t { Supervisor, User };

}  // namespace ringshift
