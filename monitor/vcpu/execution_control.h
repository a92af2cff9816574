// ExecutionControl: a debugger's reasons to stop the guest: breakpoints, watched data, a single
// step, a pause, and a stop that outlasts them all. Owns: the lists and the reason of the last
// stop; knows no guest and no wire. Guest memory never holds a trace of it. Keeps: T7. See
// docs/debugging.md.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "monitor/interpreter/interpreter.h"
#include "monitor/spaces/watched_pages.h"
#include "monitor/vcpu/execution_guide.h"
#include "translator/code_source.h"

namespace ringshift {

enum class StopCause : uint8_t {
  None,
  Asked,  // somebody wants it to stop
  Step,
  Breakpoint,
  HardwareBreakpoint,
  Watch,
  TapeBegin,  // of a replay: there is nothing before
  TapeEnd,    // nothing after
};

enum class WatchKind : uint8_t { Write, Read, Access };

struct WatchedData {
  GuestVirtual address;
  uint32_t length = 0;
  WatchKind kind = WatchKind::Write;
  auto operator<=>(const WatchedData&) const = default;
};

struct DebugStop {
  StopCause cause = StopCause::None;
  WatchedData watched;  // StopCause::Watch: what was touched
};

class ExecutionControl final : public DataWatcher {
 public:
  // While false the loop need not ask anything else.
  [[nodiscard]] bool is_engaged() const { return engaged_; }

  // ---- for debuggers ----
  enum class BreakpointKind : uint8_t { Software, Hardware };
  // False: there are too many. Inserting one that exists changes nothing, nor does removing one
  // that does not.
  [[nodiscard]] bool insert_breakpoint(GuestVirtual linear, BreakpointKind kind);
  void remove_breakpoint(GuestVirtual linear, BreakpointKind kind);
  [[nodiscard]] bool insert_watch(const WatchedData& watched);
  void remove_watch(const WatchedData& watched);
  void remove_all();
  [[nodiscard]] const std::set<GuestVirtual>& breakpoints(BreakpointKind kind) const {
    return breakpoints_[static_cast<size_t>(kind)];
  }
  [[nodiscard]] const std::set<WatchedData>& watches() const { return watches_; }
  void pause(StopCause cause);
  // The instruction at which the guest was stopped is executed whatever breakpoint it has.
  void resume();
  // One instruction, or one event; interrupts wait meanwhile.
  void step();
  [[nodiscard]] const DebugStop& last_stop() const { return last_stop_; }
  // The controller of the machine has stopped it: it stays stopped until release(). A debugger's
  // resume() does not end that; its step() is executed.
  void hold();
  void release();
  [[nodiscard]] bool is_held() const { return held_; }
  // A debugger, or the person at the prompt, has stopped it.
  [[nodiscard]] bool is_paused() const { return paused_; }

  // ---- for replays ---- Events between instructions must be the recorded ones: interrupts never
  // wait for a debugger. Null: nobody leads the guest any more, and they may.
  void set_guide(ExecutionGuide* guide);
  [[nodiscard]] ExecutionGuide* guide() const { return guide_; }
  // The guest goes on, led by the guide: by single instructions of the interpreter's, or as usual.
  void lead(bool by_instruction);
  // The guest stands, and is led no more.
  void end_lead(const DebugStop& stop);
  [[nodiscard]] bool is_leading() const { return leading_; }

  // ---- for the loop ----
  [[nodiscard]] bool is_standing() const { return paused_ || (held_ && !stepping_); }
  // Notes the address at which the guest stands.
  void note_paused_at(GuestVirtual linear) { paused_at_ = linear; }
  // Interrupts wait: the instruction here is stepped, or passed although it has a breakpoint.
  [[nodiscard]] bool holds_interrupts(GuestVirtual linear) const {
    return guide_ == nullptr && passes(linear);
  }
  [[nodiscard]] bool has_points() const {
    return !breakpoints_[0].empty() || !breakpoints_[1].empty() || !watches_.empty();
  }
  // At a boundary, before anything else. True: watched data has been touched, and it is paused now.
  [[nodiscard]] bool stop_if_touched();
  // At a boundary, interrupts seen to. True: it has just been paused there.
  [[nodiscard]] bool stops_at(GuestVirtual linear);
  // Whether the instruction at this address is the interpreter's.
  [[nodiscard]] bool is_interpreted(GuestVirtual linear) const {
    return stepping_ || passing_ || led_by_instruction_ || kept_out_.contains(linear);
  }
  // How the guest has moved on.
  enum class Progress : uint8_t {
    Executed,  // an interpreted instruction
    Faulted,   // the same, but it has not been executed
    Event,     // an event has been delivered instead of an instruction
  };
  void after(Progress progress);
  // Watched data has been touched: the loop is wanted, and stops_at pauses there.
  [[nodiscard]] bool is_touched() const { return touched_; }
  [[nodiscard]] DataWatcher* watcher() { return watches_.empty() ? nullptr : this; }

  // All recent breakpoints, removed ones included. A debugger removes and re-inserts them at each
  // stop; keeping them avoids retranslation.
  [[nodiscard]] const KeptOut& kept_out() const { return kept_out_; }
  // Pages that generated code must not reach by itself.
  [[nodiscard]] const LinearPages& watched_pages() const { return watched_pages_; }
  // If anything has changed since the last call: the addresses kept out anew, whose code is to be
  // dropped.
  [[nodiscard]] std::optional<std::vector<GuestVirtual>> take_change();

 private:
  // DataWatcher
  void on_data_access(GuestVirtual address, uint32_t length, AccessKind kind) override;
  void update();
  [[nodiscard]] bool passes(GuestVirtual linear) const {
    return stepping_ || (passing_ && linear == paused_at_);
  }
  void points_changed();
  void stop(const DebugStop& stop);

  std::set<GuestVirtual> breakpoints_[2];
  std::set<WatchedData> watches_;
  KeptOut kept_out_;
  std::vector<GuestVirtual> newly_kept_out_;
  DebugStop last_stop_;
  WatchedData touched_data_;
  LinearPages watched_pages_;
  bool touched_ = false;
  bool changed_ = false;
  bool paused_ = false;
  bool held_ = false;
  bool stepping_ = false;
  bool passing_ = false;  // the guest goes on; it has not executed an instruction yet
  GuestVirtual paused_at_;
  bool leading_ = false;
  bool led_by_instruction_ = false;
  bool engaged_ = false;
  ExecutionGuide* guide_ = nullptr;
};

}  // namespace ringshift
