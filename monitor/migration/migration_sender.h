// MigrationSender: the sending side of a migration, on a thread of its own: it reads the parts of
// RAM that it is told to send, and sends them, not faster than it may. Owns: the thread, the
// connection. Does not own: RAM. One lock guards its orders and its results; it never waits for the
// vCPU's thread but for its decisions. See docs/migration.md.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "monitor/migration/migration_messages.h"
#include "monitor/migration/socket_stream.h"
#include "shadowmmu/base/host_thread.h"

namespace ringshift {

struct MigrationSetup {
  int socket = -1;                 // that is being connected; the sender's from then on
  std::string key;                 // empty: none
  std::vector<uint8_t> rehearsal;  // a state that the other side tries before anything else
  uint64_t ram_bytes = 0;
  uint32_t grain_bytes = 0;
  uint64_t bandwidth = 0;         // bytes a second; 0: as fast as it goes
  std::function<void()> on_news;  // on the thread: phase, problem or room have changed
};

class MigrationSender {
 public:
  enum class Phase : uint8_t {
    Asking,      // whether the other side takes such a machine
    Sending,     // grains, as they are given
    Finishing,   // the last of them, and the state
    Ready,       // the other side has all of it, and waits for commit()
    Committed,   // the word is on its way
    Serving,     // the other side runs the machine, and has not all of RAM
    HandedOver,  // the other side runs the machine, and needs nothing more
    Failed,      // it does not, and never will: problem()
    Unknown,     // it may, or may not: problem()
    InTwo,       // it did, and has not had all of RAM: problem()
  };
  struct Figures {
    uint64_t bytes = 0;  // on the wire
    uint64_t zero_grains = 0, data_grains = 0;
    size_t waiting = 0;   // grains given, and not sent
    size_t late = 0;      // of these, grains that go after the other side runs the machine
    uint64_t wanted = 0;  // grains that it has asked for
  };

  // Throws as HostThread::start.
  explicit MigrationSender(MigrationSetup setup);
  // Ends the connection, wherever it is.
  ~MigrationSender();
  MigrationSender(const MigrationSender&) = delete;
  MigrationSender& operator=(const MigrationSender&) = delete;

  [[nodiscard]] Phase phase() const;
  [[nodiscard]] std::string problem() const;
  [[nodiscard]] Figures figures() const;
  void set_bandwidth(uint64_t bytes_a_second);
  // How many grains it takes now; on_news tells when it takes more.
  [[nodiscard]] size_t room() const;
  // The grain is sent as it is at that time, or later. Its bytes are read from a descriptor that
  // stays open: through no mapping, so that holes stay holes.
  struct Grain {
    uint32_t number = 0;
    int descriptor = -1;
    uint64_t offset = 0;
  };
  void give(const Grain& grain);
  // All has been given, and RAM does not change any more. flags: docs/migration.md. late: grains
  // that may go after the other side runs the machine.
  void finish(std::vector<uint8_t> state, uint32_t flags, std::vector<Grain> late = {});
  // Pre: Phase::Ready.
  void commit();

 private:
  void work();
  [[nodiscard]] bool introduce();
  [[nodiscard]] bool ask();
  [[nodiscard]] bool send_grains();
  [[nodiscard]] bool send_grain(const Grain& grain);
  [[nodiscard]] bool send_bytes(const Grain& grain, std::span<const uint8_t> bytes);
  [[nodiscard]] std::vector<uint8_t> bytes_of(const Grain& grain, bool* good) const;
  [[nodiscard]] bool send_state(std::span<const uint8_t> state);
  [[nodiscard]] bool finish_sending();
  [[nodiscard]] bool wait_for_decision();
  void hand_over();
  // Post-copy: migration_sender_late.cpp.
  [[nodiscard]] bool announce_late();
  [[nodiscard]] bool expect_ready();
  [[nodiscard]] bool take_want(const MigrationMessage& message);
  [[nodiscard]] bool has_heard_whole();
  [[nodiscard]] bool send_next_late();
  void serve();
  void end_in_two(const std::string& problem);
  void keep_to_bandwidth();
  void note(Phase phase, std::string problem = {});
  bool fail(std::string problem = {});

  MigrationSetup setup_;
  std::unique_ptr<SocketStream> stream_;
  std::unique_ptr<MigrationMessages> messages_;
  std::vector<uint64_t> hashes_;  // by grain, as last sent; 0: zeros
  std::vector<Grain> late_;       // until it has been sent: descriptor -1; in the order of RAM
  std::deque<size_t> wanted_;     // places in late_
  size_t next_late_ = 0, late_left_ = 0;
  bool is_serving_ = false, is_whole_ = false;
  int64_t pace_began_ = 0;  // nanoseconds of the host's; bandwidth is measured from then on
  uint64_t pace_bytes_ = 0;
  mutable std::mutex mutex_;  // guards the rest
  Phase phase_ = Phase::Asking;
  std::string problem_;
  Figures figures_;
  std::deque<Grain> queue_;
  std::vector<uint8_t> state_;
  std::vector<Grain> given_late_;
  uint32_t flags_ = 0;
  uint64_t bandwidth_ = 0;
  bool is_finishing_ = false, is_committed_ = false;
  HostThread thread_;
};

}  // namespace ringshift
