#include "monitor/replication/outgoing_join.h"

#include <utility>

#include "monitor/host/time/host_clock.h"

namespace ringshift {

void OutgoingJoin::begin(bool waits_first) {
  joiner_.reset();
  step_ = Step::Looking;
  joiner_ = std::make_unique<Joiner>(Joiner::Setup{.place = setup_.place,
                                                   .waits_first = waits_first,
                                                   .renew = setup_.renew,
                                                   .on_news = setup_.wake});
}

OutgoingJoin::News OutgoingJoin::fail(const std::string& problem) {
  step_ = Step::Looking;
  copy_.reset();
  freezer_.reset();
  moment_ = {};
  joiner_.reset();
  problem_ = problem;
  return News::Failed;
}

OutgoingJoin::News OutgoingJoin::give_up(const std::string& why) {
  return joiner_ != nullptr && step_ != Step::Looking ? fail(why) : News::None;
}

ReplicaConnection OutgoingJoin::take() {
  ReplicaConnection connection = joiner_->take();
  joiner_.reset();
  step_ = Step::Looking;
  return connection;
}

OutgoingJoin::News OutgoingJoin::service(JoinedMachine& machine) {
  if (joiner_ == nullptr) return News::None;
  const Joiner::Phase phase = joiner_->phase();
  if (phase == Joiner::Phase::Failed) return fail(joiner_->problem());
  switch (step_) {
    case Step::Looking:
      if (phase != Joiner::Phase::Found) return News::None;
      freezer_.emplace(machine.physical_memory());
      step_ = Step::Freezing;
      [[fallthrough]];
    case Step::Freezing:
      if (freezer_->freeze_some()) return take_moment(machine);
      setup_.wake();
      return News::None;
    case Step::Copying:
      if (copy_->phase() == FrozenCopy::Phase::Failed) {
        return fail("the host has no memory for a copy of RAM, or a base cannot be read");
      }
      if (copy_->phase() == FrozenCopy::Phase::Done) give();
      return News::None;
    case Step::Sending:
      return phase == Joiner::Phase::Joined ? News::Joined : News::None;
  }
  return News::None;
}

OutgoingJoin::News OutgoingJoin::take_moment(JoinedMachine& machine) {
  std::string error;
  const Nanoseconds began = HostClock::monotonic();
  GuestMemory& ram = machine.physical_memory().ram();
  const auto with_ram = [&] {
    freezer_->freeze_rest();
    copy_ =
        FrozenCopy::begin(ram, FrozenCopy::Scope::All, FrozenCopy::new_seal(), setup_.wake, &error);
    return copy_ != nullptr;
  };
  if (!machine.take_moment(with_ram, &moment_.state, &error)) return fail(error);
  moment_.join = {};
  moment_.join.at = machine.position();
  moment_.join.ram_bytes = ram.size();
  moment_.join.grain_bytes = static_cast<uint32_t>(ram.machine_pages()->grain_pages() * kPageSize);
  setup_.describe(&moment_.join);
  freezer_.reset();
  pause_ = HostClock::monotonic() - began;
  step_ = Step::Copying;
  return News::Moment;
}

void OutgoingJoin::give() {
  moment_.ram = copy_->take();
  copy_.reset();
  joiner_->give(std::exchange(moment_, {}));
  step_ = Step::Sending;
}

}  // namespace ringshift
