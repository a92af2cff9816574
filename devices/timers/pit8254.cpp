#include "devices/timers/pit8254.h"

#include <algorithm>

#include "devices/bus/late_ticks.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

// Counter 1 asks for a DRAM refresh every 18 ticks (15 us); port 0x61 bit 4 toggles with it. Guests
// time short delays by it, whatever they have made of counter 1.
constexpr int64_t kRefreshTicks = 18;

}  // namespace

Pit8254::Pit8254(VirtualClock& clock, InterruptLine& irq0)
    : clock_(clock),
      irq0_(irq0),
      timer_(clock, [this](Nanoseconds) { on_edge_due(); }),
      timer_ports_([this](uint16_t offset) { return read_timer(offset); },
                   [this](uint16_t offset, uint8_t value) { write_timer(offset, value); }),
      port_61_([this](uint16_t) { return read_port_61(); },
               [this](uint16_t, uint8_t value) { write_port_61(value); }) {
  counters_[2].set_gate(false, 0);
}

int64_t Pit8254::tick_now() { return rate_.ticks_at(clock_.now()); }

uint8_t Pit8254::read_timer(uint16_t offset) {
  if (offset > 2) return 0xff;  // the control word register cannot be read
  return counters_[offset].read(tick_now());
}

void Pit8254::write_timer(uint16_t offset, uint8_t value) {
  if (offset > 2) {
    write_control(value);
    return;
  }
  counters_[offset].write(value, tick_now());
  if (offset == 0) reschedule();
}

void Pit8254::write_control(uint8_t value) {
  const unsigned select = value >> 6;
  if (select == 3) {
    read_back(value);
    return;
  }
  PitCounter& counter = counters_[select];
  if ((value & 0x30) == 0) {
    counter.latch_count(tick_now());
    return;
  }
  counter.write_control(value & 0x3f, tick_now());
  if (select == 0) reschedule();
}

void Pit8254::read_back(uint8_t command) {
  const int64_t tick = tick_now();
  for (unsigned i = 0; i < counters_.size(); ++i) {
    if ((command & (2U << i)) == 0) continue;
    if ((command & 0x20) == 0) counters_[i].latch_count(tick);
    if ((command & 0x10) == 0) counters_[i].latch_status(tick);
  }
}

void Pit8254::reschedule() {
  const int64_t tick = tick_now();
  // The wire stays high through the low phases of modes 2 and 3: a vCPU that is late must still
  // find the request there. The edge itself is made in on_edge_due.
  irq0_.set_level(counters_[0].periodic() || counters_[0].output(tick));
  arm_for(counters_[0].next_rising_edge(tick));
}

void Pit8254::arm_for(std::optional<int64_t> edge) {
  if (!edge) {
    timer_.cancel();
    return;
  }
  edge_tick_ = *edge;
  timer_.arm(rate_.time_of(*edge));
}

// Between two edges of which `next` is the second.
Nanoseconds Pit8254::catch_up_pause_to(int64_t next) const {
  return catch_up_pause(rate_.time_of(std::max<int64_t>(next - edge_tick_, 1)));
}

void Pit8254::on_edge_due() {
  PitCounter& counter = counters_[0];
  const Nanoseconds now = clock_.now();
  const int64_t tick = rate_.ticks_at(now);
  std::optional<int64_t> next = counter.next_rising_edge(edge_tick_);
  const MissedTicks missed = clock_.missed_ticks();
  const bool makes_up = missed == MissedTicks::MakeUp && next && counter.periodic();
  // This edge comes when the guest has taken the one before.
  if (makes_up && irq0_.is_waiting()) return timer_.arm(now + catch_up_pause_to(*next));
  irq0_.set_level(false);
  irq0_.set_level(true);
  // Periods missed by a late vCPU come one by one, but usually more than a second of them is given
  // up.
  const int64_t most_behind = missed == MissedTicks::Drop ? 0 : kPitHertz + 1;
  if (!makes_up && next && tick - *next >= most_behind) {
    clock_.late_ticks().dropped += static_cast<uint64_t>((tick - *next) / (*next - edge_tick_) + 1);
    next = counter.next_rising_edge(tick);
  }
  if (makes_up && *next <= tick) clock_.late_ticks().made_up++;
  const Nanoseconds earliest = makes_up ? now + catch_up_pause_to(*next) : 0;
  arm_for(next);
  if (timer_.armed() && timer_.deadline() < earliest) timer_.arm(earliest);
}

uint8_t Pit8254::read_port_61() {
  const int64_t tick = tick_now();
  const bool refresh = (tick / kRefreshTicks & 1) != 0;
  const bool out2 = counters_[2].output(tick);
  return static_cast<uint8_t>(port_61_bits_ | (refresh ? 0x10 : 0) | (out2 ? 0x20 : 0));
}

void Pit8254::write_port_61(uint8_t value) {
  port_61_bits_ = value & 0x0f;
  counters_[2].set_gate((value & 1) != 0, tick_now());
}

void Pit8254::visit_state(StateArchive& archive) {
  archive.part("counter 0", counters_[0]);
  archive.part("counter 1", counters_[1]);
  archive.part("counter 2", counters_[2]);
  archive.field("port 61", port_61_bits_, 0, 0x0f);
  archive.field("edge tick", edge_tick_, 0, rate_.ticks_at(kLatestDeadline));
  archive.part("timer", timer_);
}

}  // namespace ringshift
