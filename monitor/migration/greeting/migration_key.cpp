#include "monitor/migration/greeting/migration_key.h"

#include <nettle/hmac.h>
#include <nettle/memops.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>

#include "shadowmmu/base/host_files.h"

namespace ringshift {
namespace {

constexpr size_t kLeastKey = 16, kMostKey = 1024;

const uint8_t* bytes_of(const std::string& text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

MigrationProof prove(const std::string& key, MigrationSide side, const MigrationNonce& of_source,
                     const MigrationNonce& of_target) {
  static_assert(kProofBytes == SHA256_DIGEST_SIZE);
  const std::string label = side == MigrationSide::Source ? "ringshift source" : "ringshift target";
  hmac_sha256_ctx context;
  hmac_sha256_set_key(&context, key.size(), bytes_of(key));
  hmac_sha256_update(&context, label.size(), bytes_of(label));
  hmac_sha256_update(&context, of_source.size(), of_source.data());
  hmac_sha256_update(&context, of_target.size(), of_target.data());
  MigrationProof proof;
  hmac_sha256_digest(&context, proof.size(), proof.data());
  return proof;
}

bool is_same_proof(std::span<const uint8_t> one, const MigrationProof& other) {
  return one.size() == other.size() && memeql_sec(one.data(), other.data(), other.size()) != 0;
}

bool read_migration_key(const std::string& path, std::string* key, std::string* problem) {
  const std::unique_ptr<std::FILE, Close> file(open_host_stream(path, FileUse::Read));
  if (file == nullptr) {
    *problem = "--migration-key: cannot read " + path + ": " + std::strerror(errno);
    return false;
  }
  key->resize(kMostKey + 2);
  key->resize(std::fread(key->data(), 1, key->size(), file.get()));
  while (!key->empty() && (key->back() == '\n' || key->back() == '\r')) key->pop_back();
  if (key->size() >= kLeastKey && key->size() <= kMostKey) return true;
  *problem = "--migration-key: " + path + " has no key: 16 to 1024 bytes";
  return false;
}

}  // namespace ringshift
