// LateGrains: RAM of a machine that runs already, as far as it has not come yet. A thread of its
// own puts grains into RAM as they come; the grains that the guest touches before are asked for,
// and only for these does the vCPU's thread wait. The grains are hostile input. If one is wrong or
// does not come the machine is lost: it is whole on neither side then. Owns: the thread, the
// connection. Does not own: RAM. See docs/migration.md, "Post-copy", and
// docs/decisions/0035-post-copy.md.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "monitor/memory/physical_memory.h"
#include "monitor/migration/incoming_migration.h"
#include "monitor/migration/socket_stream.h"
#include "shadowmmu/base/host_thread.h"

namespace ringshift {

class LateGrains final : public AbsentGrains {
 public:
  // on_news: on the thread: service() has something to do. Pre: setup.messages lives until start().
  LateGrains(GuestMemory& ram, LateGrainsSetup setup, std::function<void()> on_news);
  // As finish().
  ~LateGrains() override;
  LateGrains(const LateGrains&) = delete;
  LateGrains& operator=(const LateGrains&) = delete;

  // ---- before the machine runs ----

  // False with one line in *error: the host refuses.
  [[nodiscard]] bool begin(std::string* error);
  // The machine runs from here on, and the conversation goes on on a thread. Throws as
  // HostThread::start.
  void start(std::unique_ptr<SocketStream> stream, MigrationMessages messages);

  // ---- the vCPU's thread ----

  // Before start() it asks by itself.
  void fetch(size_t grain) override;
  // At safe points: grains that have come are the machine's. A step is bounded.
  void service(PhysicalMemory& memory);
  // Everything has come, and is the machine's.
  [[nodiscard]] bool is_over() const { return !ram_.has_absent(); }
  // One line; empty: nothing is wrong.
  [[nodiscard]] std::string problem() const;
  // The machine needs no more of it: it ends, or begins anew. The other side hears that. Takes a
  // moment at the most. Nobody may touch absent grains any more.
  void finish();

  // ---- for the thread, and for tests ----

  // One message. False with one line in *problem.
  [[nodiscard]] bool take(const MigrationMessage& message, std::string* problem);

 private:
  enum class Step : uint8_t { Present, Missing, Arrived };
  void work();
  [[nodiscard]] bool converse();
  [[nodiscard]] bool say_want(uint32_t grain);
  [[nodiscard]] std::optional<uint32_t> next_want();
  [[nodiscard]] bool put(size_t grain, std::span<const uint8_t> bytes);
  void say_goodbye();
  void note_lost(std::string problem);
  void fetch_at_once(size_t grain);
  [[nodiscard]] bool is_wanted();

  GuestMemory& ram_;
  LateGrainsSetup setup_;
  std::function<void()> on_news_;
  std::unique_ptr<SocketStream> stream_;
  std::optional<MigrationMessages> messages_;  // once started
  std::atomic<bool> is_leaving_{false};
  std::atomic<int64_t> leaves_by_{0};  // nanoseconds of the host's
  uint64_t asked_for_ = 0;             // the vCPU's thread, here and below
  bool has_said_whole_ = false;
  mutable std::mutex mutex_;  // guards the rest
  std::condition_variable has_come_;
  std::vector<Step> steps_;
  std::deque<uint32_t> arrived_;  // and not given to the machine yet
  std::deque<uint32_t> wanted_;
  size_t left_ = 0;  // that are Missing
  std::string problem_;
  HostThread thread_;
};

}  // namespace ringshift
