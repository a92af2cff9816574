// MigrationSender, second part: sends the grains that come after the other side runs the machine.
// See docs/migration.md, "Post-copy".
#include <algorithm>

#include "monitor/host/time/host_clock.h"
#include "monitor/migration/migration_sender.h"
#include "shadowmmu/base/zeroed_bytes.h"
#include "shadowmmu/host_mapping.h"

namespace ringshift {

// A grain that is a hole here, and was never sent, is a hole there already.
bool MigrationSender::announce_late() {
  std::erase_if(late_, [this](const Grain& grain) {
    const uint64_t start = uint64_t{grain.number} * setup_.grain_bytes;
    const uint64_t end =
        grain.offset + std::min<uint64_t>(setup_.grain_bytes, setup_.ram_bytes - start);
    const ByteRange used = next_contents(grain.descriptor, grain.offset, end);
    return hashes_[grain.number] == 0 && used.begin == used.end;
  });
  late_left_ = late_.size();
  if (late_.empty()) return true;
  std::vector<uint8_t> missing((hashes_.size() + 7) / 8);
  for (const Grain& grain : late_) {
    missing[grain.number / 8] |= static_cast<uint8_t>(1U << (grain.number % 8));
    hashes_[grain.number] = 0;
  }
  return messages_->send(MessageKind::Missing, missing);
}

// A state that is loaded may want RAM already.
bool MigrationSender::expect_ready() {
  MigrationMessage message;
  while (messages_->receive(&message)) {
    if (message.kind == MessageKind::Want) {
      if (!take_want(message)) return fail("the other side wants memory that is not late");
      if (!send_next_late()) return fail();
      continue;
    }
    if (message.kind == MessageKind::Refuse) {
      return fail("the other side refuses: " + shown_line(message.bytes));
    }
    if (message.kind != MessageKind::Ready) {
      return fail("the other side says what is not to be said here");
    }
    const bool has_all = message.bytes.size() == sizeof(uint64_t) &&
                         get_u64(message.bytes, 0) == hash_of_grains(hashes_);
    return has_all || fail("the other side has other bytes than were sent");
  }
  return fail();
}

// It may have been sent meanwhile.
bool MigrationSender::take_want(const MigrationMessage& message) {
  if (message.bytes.size() != kGrainHeadBytes || late_.empty()) return false;
  const uint32_t number = get_u32(message.bytes, 0);
  const auto found =
      std::lower_bound(late_.begin(), late_.end(), number,
                       [](const Grain& grain, uint32_t wanted) { return grain.number < wanted; });
  if (found == late_.end() || found->number != number) return false;
  if (found->descriptor < 0) return true;
  wanted_.push_back(static_cast<size_t>(found - late_.begin()));
  const std::lock_guard lock(mutex_);
  ++figures_.wanted;
  return true;
}

// One that is wanted, or the next one behind the last one sent: neighbours are used together.
bool MigrationSender::send_next_late() {
  while (!wanted_.empty() && late_[wanted_.front()].descriptor < 0) wanted_.pop_front();
  const bool is_wanted = !wanted_.empty();
  if (is_wanted) {
    next_late_ = wanted_.front();
    wanted_.pop_front();
  }
  if (late_left_ == 0) return true;
  while (late_[next_late_].descriptor < 0) next_late_ = (next_late_ + 1) % late_.size();
  Grain& grain = late_[next_late_];
  bool good = false;
  const std::vector<uint8_t> bytes = bytes_of(grain, &good);
  if (!good) return false;
  if (!send_bytes(grain, is_zero(bytes) ? std::span<const uint8_t>() : bytes)) return false;
  grain.descriptor = -1;
  --late_left_;
  {
    const std::lock_guard lock(mutex_);
    figures_.bytes = messages_->bytes_sent();
    figures_.late = late_left_;
  }
  if (!is_wanted) keep_to_bandwidth();
  return true;
}

void MigrationSender::end_in_two(const std::string& problem) {
  note(Phase::InTwo, problem.empty() ? "the end was asked for" : problem);
}

// A target that has gone may have sent its last word before.
bool MigrationSender::has_heard_whole() {
  MigrationMessage message;
  while (!is_whole_ && stream_->has_news() && messages_->receive(&message)) {
    is_whole_ = message.kind == MessageKind::Whole;
  }
  return is_whole_;
}

// The machine is the other side's; grains that it needs of ours it has asked for, or gets one after
// the other. Its last word is that it needs nothing more.
void MigrationSender::serve() {
  is_serving_ = true;
  pace_began_ = HostClock::monotonic();
  pace_bytes_ = messages_->bytes_sent();
  {
    const std::lock_guard lock(mutex_);
    figures_.late = late_left_;
  }
  note(Phase::Serving);
  MigrationMessage message;
  while (true) {
    while (late_left_ == 0 || stream_->has_news()) {
      if (!messages_->receive(&message)) return end_in_two(messages_->problem());
      if (message.kind == MessageKind::Whole) return note(Phase::HandedOver);
      if (message.kind != MessageKind::Want || !take_want(message)) {
        return end_in_two("the other side says what is not to be said here");
      }
    }
    if (!send_next_late()) {
      const std::string problem = messages_->problem();
      if (has_heard_whole()) return note(Phase::HandedOver);
      return end_in_two(problem.empty() ? "RAM cannot be read" : problem);
    }
  }
}

}  // namespace ringshift
