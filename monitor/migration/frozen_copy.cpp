#include "monitor/migration/frozen_copy.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "devices/host/host_random.h"
#include "monitor/host/time/host_clock.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/zeroed_bytes.h"

namespace ringshift {
namespace {

// As for a machine that is saved, so that its clone's grains are those of its base.
constexpr uint32_t kSmallestGrain = 64 * 1024;
constexpr uint64_t kMostGrains = 4096;
// The time of one step, in nanoseconds; then the guest goes on.
constexpr int64_t kStepTime = 1'000'000;
constexpr size_t kMostOfRun = 64;

uint32_t grain_for(uint64_t ram_bytes) {
  uint32_t grain = kSmallestGrain;
  while (ram_bytes / grain > kMostGrains) grain *= 2;
  return grain;
}

struct Head {
  std::array<char, 8> magic = {'R', 'S', 'C', 'L', 'O', 'N', 'E', '\n'};
  uint64_t seal = 0;
};

}  // namespace

GrainFreezer::GrainFreezer(PhysicalMemory& memory) : memory_(memory) {
  memory.ram().use_grains(grain_for(memory.ram().size()) / kPageSize);
  grains_ = memory.ram().machine_pages()->grains();
}

// The own grains from `first` on that lie together, `most` at the most. Their number.
size_t GrainFreezer::freeze_run(size_t first, size_t most) {
  const MachinePages& pages = *memory_.ram().machine_pages();
  size_t count = 0;
  while (count < most && first + count < grains_) {
    memory_.make_whole(first + count);
    const size_t page = (first + count) * pages.grain_pages();
    if (pages.backing(GuestPhysicalPage(static_cast<uint32_t>(page))) != Backing::Own) break;
    ++count;
  }
  if (count != 0) memory_.freeze(first, count);
  return count;
}

bool GrainFreezer::freeze_some() {
  const int64_t until = HostClock::monotonic() + kStepTime;
  while (next_ < grains_) {
    next_ += std::max<size_t>(freeze_run(next_, kMostOfRun), 1);
    if (HostClock::monotonic() >= until) return next_ >= grains_;
  }
  return true;
}

void GrainFreezer::freeze_rest() {
  for (size_t i = 0; i < grains_; i += std::max<size_t>(freeze_run(i, grains_), 1)) {
  }
}

uint64_t FrozenCopy::new_seal() {
  uint64_t seal = 0;
  HostRandom().fill({reinterpret_cast<uint8_t*>(&seal), sizeof(seal)});
  return seal | 1;
}

FrozenCopy::FrozenCopy(GuestMemory& ram, uint64_t seal, std::function<void()> on_news)
    : ram_(ram), seal_(seal), on_news_(std::move(on_news)) {
  const MachinePages& pages = *ram.machine_pages();
  grain_pages_ = pages.grain_pages();
  sources_.resize(pages.grains());
  steps_ = std::make_unique<std::atomic<Step>[]>(pages.grains());
  present_.resize(pages.grains());
  is_written_.resize(pages.grains());
  buffer_.resize(size_t{grain_pages_} * kPageSize);
  buffer_of_vcpu_.resize(buffer_.size());
}

std::unique_ptr<FrozenCopy> FrozenCopy::begin(GuestMemory& ram, Scope scope, uint64_t seal,
                                              std::function<void()> on_news, std::string* error) {
  std::unique_ptr<FrozenCopy> copy(new FrozenCopy(ram, seal, std::move(on_news)));
  if (!copy->make_file(error)) return nullptr;
  copy->choose(scope);
  try {
    copy->thread_.start("frozen-copy", [all = copy.get()] { all->copy_all(); });
  } catch (const std::system_error& refused) {
    *error = std::string("the host refuses a thread: ") + refused.what();
    return nullptr;
  }
  ram.set_frozen(copy.get());
  return copy;
}

FrozenCopy::~FrozenCopy() {
  thread_.join();
  ram_.set_frozen(nullptr);
  close_descriptor(descriptor_);
}

bool FrozenCopy::make_file(std::string* error) {
  const Head head{.seal = seal_};
  HostResult result = create_sealable_memfd("ringshift-clone", kOffset + ram_.size(), &descriptor_);
  if (result.ok()) {
    result =
        write_contents(descriptor_, 0, {reinterpret_cast<const uint8_t*>(&head), sizeof(head)});
  }
  if (result.ok()) return true;
  *error = "memory for a clone: " + result.text();
  return false;
}

void FrozenCopy::choose(Scope scope) {
  const MachinePages& pages = *ram_.machine_pages();
  for (size_t i = 0; i < sources_.size(); ++i) {
    const GuestPhysicalPage page(static_cast<uint32_t>(i * grain_pages_));
    CHECK(pages.backing(page) != Backing::Own);
    const bool is_sealed = pages.backing(page) == Backing::Base && pages.seal_of(page) != 0;
    steps_[i] = scope == Scope::AllButSealed && is_sealed ? Step::LeftOut : Step::Waiting;
    sources_[i] = {ram_.descriptor_of(page), ram_.offset_of(page)};
  }
}

void FrozenCopy::copy_all() {
  for (size_t i = 0; i < sources_.size() && !thread_.is_stopping(); ++i) (void)copy(i, &buffer_);
  if (thread_.is_stopping()) return;
  // The other thread may still be at one.
  for (size_t i = 0; i < sources_.size(); ++i) {
    while (steps_[i].load() == Step::Taken) std::this_thread::yield();
  }
  const bool is_whole = !has_failed_.load() && seal_contents(descriptor_).ok();
  phase_ = is_whole ? Phase::Done : Phase::Failed;
  on_news_();
}

bool FrozenCopy::copy(size_t grain, std::vector<uint8_t>* buffer) {
  Step waiting = Step::Waiting;
  if (!steps_[grain].compare_exchange_strong(waiting, Step::Taken)) return false;
  if (!copy_bytes(grain, buffer)) has_failed_ = true;
  steps_[grain] = Step::Done;
  return true;
}

// Read by a call: holes stay holes, and bytes that cannot be read give an answer and no signal.
bool FrozenCopy::copy_bytes(size_t grain, std::vector<uint8_t>* buffer) {
  const uint64_t start = uint64_t{grain} * grain_pages_ * kPageSize;
  const Source& source = sources_[grain];
  const auto length = static_cast<size_t>(std::min<uint64_t>(buffer->size(), ram_.size() - start));
  if (!has_contents(source.descriptor, source.offset, source.offset + length)) return true;
  const std::span<uint8_t> bytes(buffer->data(), length);
  if (!read_contents(source.descriptor, source.offset, bytes).ok()) return false;
  const auto page_is_zero = [&](size_t at) { return is_zero(bytes.subspan(at, kPageSize)); };
  for (size_t at = 0; at < length; at += kPageSize) {
    if (page_is_zero(at)) continue;
    const size_t first = at;
    while (at < length && !page_is_zero(at)) at += kPageSize;
    const auto run = bytes.subspan(first, at - first);
    if (!write_contents(descriptor_, kOffset + start + first, run).ok()) return false;
    bytes_ += run.size();
    present_[grain] = 1;
  }
  return true;
}

void FrozenCopy::before_write(size_t grain) {
  is_written_[grain] = true;
  if (copy(grain, &buffer_of_vcpu_)) {
    ++by_writes_;
    return;
  }
  while (steps_[grain].load() == Step::Taken) std::this_thread::yield();
}

RamBase FrozenCopy::take() {
  RamBase base{.descriptor = std::exchange(descriptor_, -1),
               .offset = kOffset,
               .grain_pages = grain_pages_,
               .present = std::vector<bool>(present_.size()),
               .seal = seal_};
  for (size_t i = 0; i < present_.size(); ++i) base.present[i] = present_[i] != 0;
  return base;
}

bool FrozenCopy::is_one(int descriptor, uint64_t ram_bytes, uint64_t seal) {
  Head head;
  const std::span<uint8_t> bytes(reinterpret_cast<uint8_t*>(&head), sizeof(head));
  return is_sealed(descriptor, kOffset + ram_bytes) && read_contents(descriptor, 0, bytes).ok() &&
         head.magic == Head().magic && head.seal == seal;
}

}  // namespace ringshift
