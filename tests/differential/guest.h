// Guest: the processor half of a machine, with the code and data areas of these tests mapped, run
// by the interpreter alone or by the real vCPU loop with the translator. Owns: all of it, RAM
// included. Every exception is taken by a task of its own, so that nothing of the interrupted state
// is disturbed (SDM 3A 7.3).
#pragma once

#include <memory>
#include <span>
#include <string>

#include "devices/bus/bus.h"
#include "devices/interrupts/pic8259.h"
#include "monitor/host/time/host_clock.h"
#include "tests/differential/outcome.h"
#include "tests/support/cpu_fixture.h"
#include "tests/support/processor_machine.h"

namespace ringshift::differential {

// CPL and the owner (user or supervisor) of the pages of code and data.
enum class Ring : uint8_t {
  Kernel,             // CPL 0, supervisor pages: the window serves them
  KernelOnUserPages,  // CPL 0, user pages: as when a kernel reads its caller's memory
  User,               // CPL 3
};

// Linear and guest-physical layout of what is not the code or data area.
namespace layout {
inline constexpr uint32_t kRamBytes = 0x40000;
inline constexpr uint32_t kSystem = 0x9e340000;  // linear; kSystemPhysical upwards
inline constexpr uint32_t kSystemPhysical = 0x9000;
inline constexpr uint32_t kSystemBytes = 0x5000;
inline constexpr uint32_t kDirectories = 0x1000;  // guest-physical: a directory and three tables
inline constexpr uint32_t kDirectoryStride = 0x4000;
inline constexpr uint32_t kCodePhysical = 0x10000;
inline constexpr uint32_t kDataPhysical = 0x20000;
}  // namespace layout

class Guest final : private PortDevice {
 public:
  // engine: what run() uses.
  static std::unique_ptr<Guest> create(Engine engine, std::string* error);
  ~Guest() override;

  // Sets everything to the start of a case: registers, tables, the bytes of code and data.
  void prepare(const Start& start, Ring ring, std::span<const uint8_t> code,
               std::span<const uint8_t> data);
  // From prepare() to the end or the first fault, through the vCPU loop.
  [[nodiscard]] Outcome run();
  // A whole machine state instead of prepare(), and the loop until it stops by itself. A machine
  // that interprets gives up after so many instructions: StopReason::Quit.
  void load(const GuestState& start, std::span<const uint8_t> ram);
  [[nodiscard]] StopReason run_whole();
  static constexpr uint64_t kMostInstructions = 1000000;
  [[nodiscard]] const std::string& message() const { return message_; }
  [[nodiscard]] PortBus& ports() { return machine_.ports; }
  // By hand, for a test that looks in between.
  [[nodiscard]] StepResult step() { return processor().interpreter().step(); }
  // The outcome as it stands after step()s, `fault` being what the last one returned (or null).
  [[nodiscard]] Outcome outcome_here(const GuestFault* fault) const;

  [[nodiscard]] GuestState& state() { return machine_.state(); }
  [[nodiscard]] GuestMemory& ram() { return *machine_.ram; }
  [[nodiscard]] Processor& processor() { return *machine_.processor; }
  [[nodiscard]] Translator* translator() { return &processor().translator(); }

 private:
  explicit Guest(Engine engine) : engine_(engine) {}
  [[nodiscard]] bool build(std::string* error);
  void write_page_tables();
  void write_tasks(uint32_t cr3);
  void set32(uint32_t physical, uint32_t value) { machine_.set32(physical, value); }
  [[nodiscard]] uint32_t get32(uint32_t physical) const { return machine_.get32(physical); }
  void set_segments(Ring ring, Segments segments);
  enum class Watchdog : uint8_t { Off, On };
  [[nodiscard]] StopReason run_loop(Watchdog watchdog);
  [[nodiscard]] Outcome outcome_of_task() const;
  [[nodiscard]] uint32_t read(uint16_t offset, AccessWidth width) override;
  void write(uint16_t offset, AccessWidth width, uint32_t value) override;

  Engine engine_;
  FixedTimeStampCounter tsc_;
  ProcessorMachine machine_{layout::kRamBytes, ProcessorMachine::small_config(), &tsc_};
  InterruptControllerPair interrupts_;
  std::unique_ptr<HostClock> clock_;
  Vcpu* running_ = nullptr;
  std::string message_;
  uint32_t stop_vector_ = kNotRun;
  uint32_t loaded_cr3_ = 0;
};

}  // namespace ringshift::differential
