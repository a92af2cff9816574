#include "devices/virtio/virtio_balloon.h"

#include <algorithm>
#include <array>
#include <utility>

#include "devices/virtio/virtio_number.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

// Features (5.5.3). Hints and poison are not offered.
constexpr uint64_t kStatistics = 1U << 1, kDeflateOnOom = 1U << 2, kReporting = 1U << 5;
// Configuration (5.5.4): pages the host wants, pages the guest has given.
constexpr unsigned kActualAt = 4, kConfigBytes = 8;
constexpr uint64_t kPage = 4096;    // whatever the guest's pages are
constexpr size_t kNumberBytes = 4;  // of a page, in a list
constexpr size_t kListCost = 1;
constexpr size_t kTagBytes = 2, kStatisticBytes = 10;
constexpr size_t kMostStatistics = 64;  // of a buffer: Linux has 16 of them

}  // namespace

const char* BalloonStatistics::name_of(size_t tag) {
  constexpr std::array<const char*, kTags> kNames = {
      "mem_swapped_in",    "mem_swapped_out", "major_page_faults",
      "minor_page_faults", "free_mem",        "total_mem",
      "available_mem",     "disk_caches",     "hugetlb_allocations",
      "hugetlb_failures"};
  return kNames[tag];
}

bool BalloonStatistics::any() const {
  return std::any_of(by_tag.begin(), by_tag.end(),
                     [](const std::optional<uint64_t>& value) { return value.has_value(); });
}

VirtioKind VirtioBalloon::kind() const {
  return {.name = "virtio-balloon",
          .id = 5,
          .pci_device = 0x1002,
          .class_code = 0x00ff00,
          .features = kStatistics | (config_.deflates_on_oom ? kDeflateOnOom : 0) |
                      (config_.reports_free ? kReporting : 0),
          .queues = config_.reports_free ? 4U : 3U,
          .queues_at_first = config_.reports_free ? 3U : 2U,
          .queue_entries = 128,
          .config_bytes = kConfigBytes};
}

uint8_t VirtioBalloon::config_byte(unsigned offset) const {
  const uint32_t value = offset < kActualAt ? target_pages_ : actual_pages_;
  return static_cast<uint8_t>(value >> (8 * (offset % kActualAt)));
}

// The number is written as a whole, its last byte last.
void VirtioBalloon::write_config_byte(unsigned offset, uint8_t value) {
  if (offset < kActualAt) return;
  const unsigned shift = 8 * (offset - kActualAt);
  actual_pages_ = (actual_pages_ & ~(0xffU << shift)) | uint32_t{value} << shift;
  if (offset + 1 == kConfigBytes && on_change_) on_change_();
}

// The wanted size stays: a driver that comes finds it.
void VirtioBalloon::reset() {
  actual_pages_ = 0;
  statistics_ = {};
  wants_statistics_ = false;
  forget(statistics_queue());
  is_reporting_ = false;
  report_.clear();
}

void VirtioBalloon::forget(unsigned queue) {
  if (queue == statistics_queue()) has_statistics_buffer_ = false;
  if (queue != report_queue()) return;
  is_reporting_ = false;
  report_.clear();
}

bool VirtioBalloon::tells_statistics() const { return transport().has_feature(kStatistics); }

void VirtioBalloon::set_target(uint64_t bytes) {
  const uint64_t kept = std::min(bytes, config_.ram_bytes);
  target_pages_ = static_cast<uint32_t>((config_.ram_bytes - kept) / kPage);
  transport().note_config_change();
}

uint64_t VirtioBalloon::kept_bytes() const {
  return config_.ram_bytes - std::min(config_.ram_bytes, actual_pages_ * kPage);
}

VirtioDevice::Served VirtioBalloon::serve(unsigned queue) {
  if (tells_statistics() && queue == statistics_queue()) return take_statistics(queue);
  if (queue == report_queue() && config_.reports_free) return take_reports(queue);
  if (queue > kDeflate) return Served::All;  // of nothing that has been agreed on
  return take_lists(queue, queue == kInflate);
}

// A list of pages taken out of the balloon needs no work: the host has memory for them when they
// are used.
VirtioDevice::Served VirtioBalloon::take_lists(unsigned index, bool gives_back) {
  Virtqueue& queue = transport().queue(index);
  for (size_t pages = 0; pages < kMostListed;) {
    const Virtqueue::Taken taken = queue.take(&chain_);
    if (taken == Virtqueue::Taken::None) return Served::All;
    const uint64_t bytes = chain_.readable.bytes();
    if (taken == Virtqueue::Taken::Broken || bytes > kMostListed * kNumberBytes) {
      return Served::Broken;
    }
    pages += static_cast<size_t>(bytes / kNumberBytes) + kListCost;
    if (!take_list(gives_back)) return Served::Broken;
    queue.give_back(chain_.head, 0);
  }
  return Served::More;
}

// Pages that follow each other are given back together.
bool VirtioBalloon::take_list(bool gives_back) {
  std::array<uint8_t, kMostListed * kNumberBytes> bytes;
  const auto list = std::span(bytes).first(static_cast<size_t>(chain_.readable.bytes()));
  chain_.readable.take(transport().memory(), list);
  uint64_t first = 0, count = 0;
  const auto give = [&] {
    if (count != 0 && gives_back) config_.give_back(first * kPage, count * kPage);
  };
  for (size_t at = 0; at + kNumberBytes <= list.size(); at += kNumberBytes) {
    const uint64_t page = number_at(list, at, kNumberBytes);
    if (page >= config_.ram_bytes / kPage) return false;
    if (count != 0 && page == first + count) {
      ++count;
      continue;
    }
    give();
    first = page;
    count = 1;
  }
  give();
  return true;
}

BalloonStatistics VirtioBalloon::statistics() {
  if (has_statistics_buffer_) {
    wants_statistics_ = true;
    transport().serve_soon(statistics_queue());
  }
  return statistics_;
}

// 5.5.6.3: one buffer goes to and fro; it holds the driver's figures of the moment when it was
// given.
VirtioDevice::Served VirtioBalloon::take_statistics(unsigned index) {
  Virtqueue& queue = transport().queue(index);
  if (has_statistics_buffer_ && wants_statistics_) {
    queue.give_back(statistics_head_, 0);
    has_statistics_buffer_ = wants_statistics_ = false;
  }
  constexpr int kMost = 64;
  for (int i = 0; i < kMost; ++i) {
    const Virtqueue::Taken taken = queue.take(&chain_);
    if (taken == Virtqueue::Taken::None) return Served::All;
    if (taken == Virtqueue::Taken::Broken) return Served::Broken;
    read_statistics();
    if (has_statistics_buffer_) queue.give_back(statistics_head_, 0);  // no driver has two
    has_statistics_buffer_ = true;
    statistics_head_ = chain_.head;
  }
  return Served::More;
}

// Tags that are not known are of a newer driver.
void VirtioBalloon::read_statistics() {
  for (size_t i = 0; i < kMostStatistics && chain_.readable.bytes() >= kStatisticBytes; ++i) {
    std::array<uint8_t, kStatisticBytes> bytes{};
    chain_.readable.take(transport().memory(), bytes);
    const uint64_t tag = number_at(bytes, 0, kTagBytes);
    if (tag >= BalloonStatistics::kTags) continue;
    // All ones: it does not know.
    const uint64_t value = number_at(bytes, kTagBytes, kStatisticBytes - kTagBytes);
    statistics_.by_tag[tag] = value == ~uint64_t{0} ? std::nullopt : std::optional(value);
  }
}

// A report's buffers are the free memory itself (5.5.6.7), and may be all of RAM many times over.
VirtioDevice::Served VirtioBalloon::take_reports(unsigned index) {
  Virtqueue& queue = transport().queue(index);
  for (uint64_t left = kMostAtOnce; left != 0;) {
    if (!is_reporting_) {
      const Virtqueue::Taken taken = queue.take(&chain_);
      if (taken == Virtqueue::Taken::None) return Served::All;
      if (taken == Virtqueue::Taken::Broken || chain_.readable.bytes() != 0) return Served::Broken;
      is_reporting_ = true;
      report_head_ = chain_.head;
      std::swap(report_, chain_.writable);
    }
    while (report_.bytes() != 0 && left != 0) {
      const GuestBuffer::Range range = report_.skip(left);
      // The parts of pages at its ends keep their bytes.
      const uint64_t begin = (range.address + kPage - 1) / kPage * kPage;
      const uint64_t end = (range.address + range.bytes) / kPage * kPage;
      if (begin < end) config_.give_back(begin, end - begin);
      left -= std::max<uint64_t>(range.bytes, std::min(left, kPage));
    }
    if (report_.bytes() != 0) break;
    is_reporting_ = false;
    queue.give_back(report_head_, 0);
    left -= std::min(left, kPage);
  }
  return Served::More;
}

void VirtioBalloon::visit_state(StateArchive& archive) {
  archive.same("ram", config_.ram_bytes);
  archive.field("target", target_pages_, 0, static_cast<uint32_t>(config_.ram_bytes / kPage));
  archive.field("actual", actual_pages_);
  archive.field("is reporting", is_reporting_);
  archive.field("report head", report_head_);
  archive.part("report", report_);
  // Before, nobody was asked.
  if (archive.version() < 2) return;
  archive.field("has statistics buffer", has_statistics_buffer_);
  archive.field("wants statistics", wants_statistics_);
  archive.field("statistics head", statistics_head_);
  for (size_t i = 0; i < BalloonStatistics::kTags; ++i) {
    archive.optional(BalloonStatistics::name_of(i), statistics_.by_tag[i], 0, ~uint64_t{0});
  }
}

}  // namespace ringshift
