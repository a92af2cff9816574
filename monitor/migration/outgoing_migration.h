// OutgoingMigration: a machine on its way to another process, as the vCPU's thread sees it: the
// next grains of RAM, the moment when the guest is stopped, the outcome. Owns: the sender, the
// figures. Does not own: the machine, whose interface it calls. A step at a safe point is bounded;
// nothing here waits for the other side. See docs/migration.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "devices/bus/virtual_clock.h"
#include "monitor/memory/physical_memory.h"
#include "monitor/migration/migration_control.h"
#include "monitor/migration/migration_sender.h"

namespace ringshift {

// The steps of a machine that is migrated. All are called on the vCPU's thread.
class MigratedMachine {
 public:
  virtual ~MigratedMachine() = default;
  [[nodiscard]] virtual PhysicalMemory& physical_memory() = 0;
  // The state of all parts, but of disks only where `with_media`; the clock stands meanwhile. False
  // with one line in *error.
  [[nodiscard]] virtual bool save_state(bool with_media, std::vector<uint8_t>* state,
                                        std::string* error) = 0;
  // The guest stands, with its clock, from before its next instruction until let_go(). False:
  // nobody can stop it.
  [[nodiscard]] virtual bool hold_guest() = 0;
  [[nodiscard]] virtual bool is_guest_held() const = 0;
  [[nodiscard]] virtual bool does_clock_stand() const = 0;
  // The guest goes on, unless it stood before.
  virtual void let_go() = 0;
  // Images that it may write to are another's to take, or its own again. False with one line in
  // *error: somebody else has one.
  [[nodiscard]] virtual bool release_media(std::string* error) = 0;
  [[nodiscard]] virtual bool retake_media(std::string* error) = 0;
  // The guest does nothing for so long.
  virtual void stand_still(Nanoseconds time) = 0;
  // The machine's memory is partly here and partly at the other side: it must not run.
  virtual void end_in_two(const std::string& problem) = 0;
  // Another machine has its guest now.
  virtual void end_migrated() = 0;
  // Asks for service() to be called, since something has changed. Any thread.
  virtual void wake_for_migration() = 0;
};

// The places that a machine may be moved to, and the key for them.
struct MigrationPeers {
  std::vector<std::string> allowed;  // --migrate-to, as typed
  std::string key;                   // empty: none
};

class OutgoingMigration final : public MigrationControl {
 public:
  OutgoingMigration(MigratedMachine& machine, VirtualClock& clock, MigrationPeers peers)
      : machine_(machine), clock_(clock), peers_(std::move(peers)) {}
  // While the other side has not all of RAM: the machine ends there, too, and a line says so.
  ~OutgoingMigration() override;

  // MigrationControl
  [[nodiscard]] bool begin(const std::string& where, std::optional<uint32_t> postcopy_after,
                           std::string* error) override;
  [[nodiscard]] bool start_postcopy(std::string* error) override;
  [[nodiscard]] bool cancel(std::string* error) override;
  [[nodiscard]] MigrationProgress progress() override;
  [[nodiscard]] const MigrationLimits& limits() const override { return limits_; }
  [[nodiscard]] bool set_limits(const MigrationLimits& limits, std::string* error) override;

  // At safe points, while the guest stands too.
  void service();
  // The last of it is being sent: nothing may change the machine, and nobody let it go.
  [[nodiscard]] bool is_handing_over() const { return step_ >= Step::Stopping; }
  // Statuses since the last call, oldest first.
  [[nodiscard]] std::vector<MigrationStatus> take_news() { return std::exchange(news_, {}); }

 private:
  enum class Step : uint8_t { Idle, Asking, Copying, Stopping, Finishing, Committing, Serving };
  [[nodiscard]] int connect(const std::string& where, std::string* error) const;
  void copy_some();
  void end_round();
  void slow_down();
  void stop_guest();
  void finish();
  void commit();
  void begin_serving();
  void lose(const std::string& problem);
  void complete();
  void give_up(MigrationStatus status, const std::string& problem);
  void set_status(MigrationStatus status);
  [[nodiscard]] uint64_t dirty_bytes() const;
  [[nodiscard]] GuestMemory& ram() { return machine_.physical_memory().ram(); }

  MigratedMachine& machine_;
  VirtualClock& clock_;
  MigrationPeers peers_;
  MigrationLimits limits_;
  MigrationProgress progress_;
  std::string where_;
  std::optional<uint32_t> postcopy_after_;  // rounds; none: all of RAM goes before the end
  Step step_ = Step::Idle;
  std::unique_ptr<MigrationSender> sender_;
  std::optional<ClockTimer> throttle_;
  std::vector<MigrationStatus> news_;
  size_t next_grain_ = 0;
  size_t state_bytes_ = 0;        // of the rehearsal: what the last one will be like
  uint64_t expected_before_ = 0;  // milliseconds that the rest would have taken a round ago
  int64_t began_ = 0, round_began_ = 0, stopped_ = 0;  // nanoseconds of the host's
  uint64_t round_bytes_ = 0;                           // on the wire, when it began
};

}  // namespace ringshift
