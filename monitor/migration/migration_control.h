// MigrationControl: the requests about moving the machine to another process: begin, cancel, how
// far it is, how fast and how still. Implemented by outgoing_migration, and by a fake in tests. All
// of it is called between two guest instructions. See docs/migration.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ringshift {

enum class MigrationStatus : uint8_t {
  None,            // nobody has asked
  Setup,           // the other side is being asked whether it takes the machine
  Active,          // RAM is being copied while the guest runs
  Device,          // the guest stands; the rest is on its way
  PostcopyActive,  // the other side runs the guest, and gets the rest of RAM
  Completed,       // the other side has the machine
  Failed,          // the guest goes on here, or, if there was a PostcopyActive, nowhere
  Cancelled,       // the same, because somebody wanted it
  Unknown,         // the other side may have it, or not: the guest stands here
};
// As QEMU's monitor calls them; "unknown" is ours.
[[nodiscard]] const char* migration_status_name(MigrationStatus status);

struct MigrationLimits {
  static constexpr uint64_t kLeastBandwidth = 64 * 1024, kMostBandwidth = uint64_t{1} << 40;
  static constexpr uint32_t kMostDowntime = 2000;
  uint64_t bandwidth = 0;  // bytes a second; 0: as fast as it goes
  // Milliseconds: the guest is stopped once the rest is estimated to take no longer.
  uint32_t downtime = 50;
};

struct MigrationProgress {
  MigrationStatus status = MigrationStatus::None;
  uint64_t total = 0;        // bytes of RAM
  uint64_t sent = 0;         // bytes on the wire
  uint64_t remaining = 0;    // bytes of RAM that are written and not sent
  uint64_t zero_grains = 0;  // parts of RAM that were sent as zeros
  uint64_t data_grains = 0;
  uint64_t wanted_grains = 0;  // that the other side has asked for, as its guest stood for them
  uint64_t grain_bytes = 0;
  uint32_t rounds = 0;      // over RAM, begun
  uint64_t dirty_rate = 0;  // bytes of RAM a second, in the last round
  uint64_t bandwidth = 0;   // bytes a second, in the last round
  uint32_t throttle = 0;    // per cent of its time that the guest stands so that it writes less
  int64_t total_milliseconds = 0, setup_milliseconds = 0;
  int64_t downtime_milliseconds = 0;  // as estimated; once the guest has stood, as it was
  std::string problem;                // Failed, Unknown: one line
};

class MigrationControl {
 public:
  virtual ~MigrationControl() = default;
  // False with one line in *error. True: it has begun, and goes on beside the guest.
  // postcopy_after: the number of rounds over RAM (0: none) after which the other side runs the
  // guest and gets the rest later; nothing: it gets all of RAM first.
  [[nodiscard]] virtual bool begin(const std::string& where, std::optional<uint32_t> postcopy_after,
                                   std::string* error) = 0;
  // The other side runs the guest from now on, whatever is left. False with one line in *error.
  [[nodiscard]] virtual bool start_postcopy(std::string* error) = 0;
  // False with one line in *error: there is nothing to cancel, or it is too late.
  [[nodiscard]] virtual bool cancel(std::string* error) = 0;
  [[nodiscard]] virtual MigrationProgress progress() = 0;
  [[nodiscard]] virtual const MigrationLimits& limits() const = 0;
  // False with one line in *error: they make no sense.
  [[nodiscard]] virtual bool set_limits(const MigrationLimits& limits, std::string* error) = 0;
};

}  // namespace ringshift
