// MigrationKey: how two sides of a migration prove to each other that they know the same secret,
// without saying it: HMAC-SHA256 (RFC 2104, FIPS 180-4) of both sides' random numbers. It proves
// who is there when the connection begins; it neither hides nor protects later messages. See
// docs/security.md, "Migration".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace ringshift {

inline constexpr size_t kNonceBytes = 32, kProofBytes = 32;
using MigrationNonce = std::array<uint8_t, kNonceBytes>;
using MigrationProof = std::array<uint8_t, kProofBytes>;
enum class MigrationSide : uint8_t { Source, Target };

// The proof that a side shows. Pre: the key is not empty.
[[nodiscard]] MigrationProof prove(const std::string& key, MigrationSide side,
                                   const MigrationNonce& of_source,
                                   const MigrationNonce& of_target);
// Takes the same time whatever they are.
[[nodiscard]] bool is_same_proof(std::span<const uint8_t> one, const MigrationProof& other);

// The key in a file: its bytes without the end of a line behind them, 16 to 1,024 of them. False
// with one line in *problem.
[[nodiscard]] bool read_migration_key(const std::string& path, std::string* key,
                                      std::string* problem);

}  // namespace ringshift
