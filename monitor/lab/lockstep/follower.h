// Follower: the same guest in the interpreter alone, fed with the values that another machine has
// read from its devices and clock, so that both can be compared at instruction boundaries. Owns:
// RAM of its own, a copy of the leader's state, the queue of inputs. Does not own: devices. An
// input that it cannot follow is reported, and never guessed. See docs/lab.md.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "devices/bus/bus.h"
#include "devices/bus/virtual_clock.h"
#include "devices/interrupts/local_apic.h"
#include "monitor/cpu/cpu_context.h"
#include "monitor/cpu/event_delivery.h"
#include "monitor/interpreter/interpreter.h"
#include "monitor/machine/machine.h"
#include "monitor/memory/physical_memory.h"
#include "translator/fpu_unit.h"
#include "translator/translation_unit.h"

namespace ringshift::lab {

enum class InputSource : uint8_t { Port, Memory, Clock };

struct Input {
  InputSource source = InputSource::Port;
  bool is_write = false;
  uint64_t address = 0;
  uint64_t value = 0;
};

// Notes the leader's exchanges with its devices.
class Recorder {
 public:
  void attach(Machine* leader);
  [[nodiscard]] std::deque<Input>& inputs() { return inputs_; }
  [[nodiscard]] uint64_t port_accesses() const { return ports_.count(); }

 private:
  class Tap final : public BusTap {
   public:
    Tap(InputSource source, std::deque<Input>& out) : source_(source), out_(out) {}
    void on_read(uint64_t address, AccessWidth, uint64_t value) override {
      ++count_;
      out_.push_back({source_, false, address, value});
    }
    void on_write(uint64_t address, AccessWidth, uint64_t value) override {
      ++count_;
      out_.push_back({source_, true, address, value});
    }
    [[nodiscard]] uint64_t count() const { return count_; }

   private:
    InputSource source_;
    std::deque<Input>& out_;
    uint64_t count_ = 0;
  };
  std::deque<Input> inputs_;
  Tap ports_{InputSource::Port, inputs_};
  Tap memory_{InputSource::Memory, inputs_};
  Tap clock_{InputSource::Clock, inputs_};
};

// How an instruction moves the flags as a whole.
enum class FlagsMove : uint8_t { None, Pushed, Popped, Returned };

// One guest instruction, as the follower is about to execute it.
struct FollowedInstruction {
  uint32_t linear = 0;
  std::array<uint8_t, kMaxInstructionBytes> bytes{};
  uint8_t length = 0;  // 0: not decodable as 32-bit code
  Treatment treatment = Treatment::Interpret;
  bool is_sensitive = false;
  FlagsMove flags_move = FlagsMove::None;
  std::string name;  // of a sensitive or privileged one
  uint32_t flags_written = 0;
  uint32_t flags_undefined = 0;
  // FXSAVE, FNSAVE, FNSTENV: the operand, and how much of it may hold instruction pointers.
  uint32_t fpu_header_bytes = 0;
  int8_t base = -1, index = -1;  // general registers; -1: none
  uint8_t scale = 0;
  uint32_t displacement = 0;
  SegmentRegister segment = SegmentRegister::Ds;
};

class Follower final : private PortDevice,
                       private TimeStampCounter,
                       private PagingObserver,
                       private WriteObserver {
 public:
  // Begins where the leader is. Null with one line in *error.
  static std::unique_ptr<Follower> create(Machine& leader, std::deque<Input>& inputs,
                                          std::string* error);

  // Executes one instruction, `next` being next()'s answer, and delivers its fault or event. False:
  // problem().
  [[nodiscard]] bool step(const FollowedInstruction* next);
  void deliver_event(const Event& event);
  // The instruction to be executed, valid until the next question; null where code is not 32-bit
  // protected mode.
  [[nodiscard]] const FollowedInstruction* next();

  [[nodiscard]] GuestState& state() { return storage_->frame().state; }
  [[nodiscard]] GuestMemory& ram() { return *memory_; }
  [[nodiscard]] LinearMemory& linear() { return *linear_; }
  // Notes an instruction that has been executed there.
  [[nodiscard]] std::span<const uint8_t> bytes_at(uint32_t linear) const;
  // The pages written since forget_written().
  [[nodiscard]] std::span<const GuestPhysicalPage> written() const { return written_; }
  void forget_written();
  // From now on rewind() goes back to the last mark(). Costs a copy of each page that is written.
  void keep_way() { keeps_way_ = true; }
  void mark();
  void rewind();
  struct KeptPage {
    GuestPhysicalPage page;
    std::array<uint8_t, kPageSize> bytes;
  };
  // The pages written since forget_written(), as they were before.
  [[nodiscard]] std::deque<KeptPage>& kept() { return kept_; }
  [[nodiscard]] PhysicalMemory& physical() { return *physical_; }
  // Guest-physical words whose contents processors may choose (FPU instruction pointers).
  [[nodiscard]] bool is_open(uint64_t word) const { return open_words_.contains(word); }
  [[nodiscard]] const std::string& problem() const { return problem_; }
  // Arithmetic flags that the manual leaves undefined after the instructions so far.
  [[nodiscard]] uint32_t undefined_flags() const { return undefined_flags_; }

 private:
  explicit Follower(std::deque<Input>& inputs) : inputs_(inputs) {}
  void join_processor(const CpuContext& leader);
  [[nodiscard]] uint64_t take(InputSource source, bool is_write, uint64_t address, uint64_t value);
  void learn(std::span<const uint8_t> code, FollowedInstruction* out) const;
  void follow_flags(const FollowedInstruction& instruction);
  void note_fpu_image(const FollowedInstruction& instruction);

  [[nodiscard]] uint32_t read(uint16_t offset, AccessWidth width) override;
  void write(uint16_t offset, AccessWidth width, uint32_t value) override;
  [[nodiscard]] uint64_t read() override { return take(InputSource::Clock, false, 0, 0); }
  void on_cr3_loaded() override {}
  void on_page_invalidated(GuestVirtual) override {}
  void on_paging_mode_changed() override {}
  // A page is watched until it has been written once.
  [[nodiscard]] bool watches(GuestPhysicalPage page) const override {
    return page.number() < is_written_.size() && !is_written_[page.number()];
  }
  void before_write(GuestPhysicalPage page) override;
  void on_write(GuestPhysical address, uint32_t length) override;

  // Device memory is found again by the range it lies in.
  class Range final : public MemoryDevice {
   public:
    Range(Follower& follower, uint64_t first) : follower_(follower), first_(first) {}
    [[nodiscard]] uint32_t read(uint64_t offset, AccessWidth width) override;
    void write(uint64_t offset, AccessWidth width, uint32_t value) override;

   private:
    Follower& follower_;
    uint64_t first_;
  };

  std::deque<Input>& inputs_;
  std::unique_ptr<GuestMemory> memory_;
  PortBus ports_;
  MemoryBus memory_bus_;
  std::vector<std::unique_ptr<Range>> ranges_;
  std::unique_ptr<FrameStorage> storage_;
  std::unique_ptr<PhysicalMemory> physical_;
  std::unique_ptr<LinearMemory> linear_;
  ManualClock apic_clock_;       // stands: nobody asks the APIC below for time
  LocalApic apic_{apic_clock_};  // answers RDMSR, CPUID only
  std::unique_ptr<CpuContext> cpu_;
  std::unique_ptr<FpuUnit> fpu_;
  std::unique_ptr<Interpreter> interpreter_;
  // Decoded instructions by linear address, the newest of those that share a place.
  static constexpr size_t kKnown = 1U << 16;
  [[nodiscard]] static size_t place_of(uint32_t linear) {
    return (linear ^ (linear >> 16)) % kKnown;
  }
  std::vector<FollowedInstruction> known_ = std::vector<FollowedInstruction>(kKnown);
  uint32_t undefined_flags_ = 0;
  uint32_t stored_undefined_flags_ = 0;  // PUSHF has put them into memory
  std::unordered_set<uint64_t> open_words_;
  std::vector<GuestPhysicalPage> written_;
  std::vector<bool> is_written_;  // by page
  std::string problem_;
  struct Mark {
    GuestState state;
    uint32_t undefined_flags = 0, stored_undefined_flags = 0;
    std::deque<Input> inputs;
  };
  bool keeps_way_ = false;
  Mark mark_;
  std::deque<KeptPage> kept_;
};

}  // namespace ringshift::lab
