#include "shadowmmu/table_traces.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"
#include "shadowmmu/base/hash.h"
#include "shadowmmu/table_entry.h"

namespace ringshift {
namespace {

// Auto: changes, of a table that is traced, that say something about it.
constexpr uint32_t kChangesThatTell = 16;

// A trace that answered so many questions has saved more than its end costs.
constexpr uint32_t kAskedThatPay = 512;

// A and D have the same places in both formats, in the low half of a wide entry.
uint64_t content_of(std::span<const uint8_t> bytes) {
  std::array<uint8_t, kPageSize> copy;
  CHECK(bytes.size() == copy.size());
  for (size_t at = 0; at < copy.size(); at += sizeof(uint32_t)) {
    uint32_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof(word));
    word &= ~(kEntryAccessed | kEntryDirty);
    std::memcpy(copy.data() + at, &word, sizeof(word));
  }
  return hash_bytes(copy, 0);
}

}  // namespace

TableTraces::TableTraces(TraceTable& traces)
    : traces_(traces), tables_(std::make_unique<std::array<Table, kMostTables>>()) {}

void TableTraces::set_policy(ShadowPolicy policy, uint32_t most) {
  policy_ = policy;
  most_ = std::min(most, kMostTables);
}

TableTraces::Table* TableTraces::traced_at(GuestPhysicalPage table) const {
  Table& found = place_of(table);
  return found.link.table == table && found.version != 0 ? &found : nullptr;
}

// The place of the table, if it may have it: a traced one that is in use keeps it.
TableTraces::Table* TableTraces::claim(GuestPhysicalPage table) {
  Table& place = place_of(table);
  if (place.link.table == table) return &place;
  if (place.version != 0) {
    if (std::exchange(place.asked_before, place.asked) != place.asked) return nullptr;
    let_go(place);
  }
  place = Table{};
  place.link.table = table;
  return &place;
}

bool TableTraces::note_compared(const TableLink& link, Finding finding, uint64_t epoch) {
  if (policy_ == ShadowPolicy::Tlb) return false;
  Table* table = claim(link.table);
  if (table == nullptr) return false;
  table->link = link;
  if (table->version != 0 || traced_ >= most_) return false;
  if (policy_ == ShadowPolicy::Trace) return true;
  if (finding == Finding::Changed) table->points = 0;
  if (finding != Finding::Same || std::exchange(table->epoch, epoch) == epoch) return false;
  return ++table->points >= table->threshold;
}

void TableTraces::begin(GuestPhysicalPage page, uint64_t content) {
  Table& table = place_of(page);
  CHECK(table.link.table == page && table.version == 0);
  CHECK(traces_.is_traced_for(page, TraceReason::PageTable));
  table.version = content != 0 ? content : next_version();
  table.points = table.asked = table.changed = table.asked_before = 0;
  table.seen_version = 0;
  ++traced_;
  counters().traces_tables++;
}

// Consecutive numbers, made to look like hashes, which begin() is given.
uint64_t TableTraces::next_version() {
  uint64_t mixed = ++clock_ * 0x9e3779b97f4a7c15U;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9U;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebU;
  mixed ^= mixed >> 31;
  return mixed != 0 ? mixed : 1;
}

void TableTraces::let_go(Table& table) {
  traces_.remove(table.link.table, TraceReason::PageTable);
  table.version = 0;
  table.points = 0;
  table.threshold = std::min(table.threshold * 2, kLastThreshold);
  // It has paid for itself many times over: the next try comes as soon as the first.
  if (table.asked / kAskedThatPay > table.changed) table.threshold = kFirstThreshold;
  --traced_;
  counters().traces_tables_let_go++;
}

void TableTraces::change(Table& table) {
  table.version = next_version();
  ++table.changed;
}

void TableTraces::note_write(GuestPhysicalPage page) {
  Table* table = traced_at(page);
  if (table == nullptr) return;
  counters().trace_writes_tables++;
  change(*table);
  (void)gives_way(page);
}

void TableTraces::note_mark(GuestPhysicalPage page) {
  Table* table = traced_at(page);
  if (table == nullptr) return;
  counters().trace_marks_tables++;
  change(*table);
  const bool is_busy = policy_ == ShadowPolicy::Auto && table->changed >= kChangesThatTell &&
                       table->changed > table->asked / 2;
  if (is_busy || !is_linked_(table->link)) let_go(*table);
}

// Auto: a store that has to be seen costs more than many comparisons.
bool TableTraces::gives_way(GuestPhysicalPage page) {
  Table* table = traced_at(page);
  if (table == nullptr) return false;
  if (policy_ != ShadowPolicy::Auto && is_linked_(table->link)) return false;
  let_go(*table);
  return true;
}

void TableTraces::forget_all() {
  if (policy_ == ShadowPolicy::Tlb) return;
  for (Table& table : *tables_) {
    if (table.version != 0) let_go(table);
    table = Table{};
  }
}

void TableTraces::verify_invariants(const Bytes& bytes) const {
  uint32_t found = 0;
  for (const Table& table : *tables_) {
    if (table.version == 0) continue;
    ++found;
    CHECK(traces_.is_traced_for(table.link.table, TraceReason::PageTable));
    const uint64_t content = content_of(bytes(table.link.table));
    CHECK(table.seen_version != table.version || table.seen_content == content);
    table.seen_version = table.version;
    table.seen_content = content;
  }
  CHECK(found == traced_ && traced_ <= most_);
}

}  // namespace ringshift
