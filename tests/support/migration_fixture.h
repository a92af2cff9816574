// Shared by tests of migrations: a stream whose bytes are there from the start, the bytes of
// messages, and a machine that arrives: RAM and a few bytes of state.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "monitor/migration/greeting/migration_key.h"
#include "monitor/migration/incoming_migration.h"
#include "monitor/migration/late_grains.h"
#include "shadowmmu/base/check.h"

namespace ringshift {

// Gives the bytes that it has, and ends as somebody does who has gone. Keeps what it is given.
class StreamOfBytes final : public MigrationStream {
 public:
  explicit StreamOfBytes(std::vector<uint8_t> bytes = {}) : bytes_(std::move(bytes)) {}
  [[nodiscard]] bool read(std::span<uint8_t> bytes) override {
    if (bytes.size() > bytes_.size() - at_) {
      end_ = End::Closed;
      return false;
    }
    std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(at_), bytes.size(), bytes.begin());
    at_ += bytes.size();
    return true;
  }
  [[nodiscard]] bool write(std::span<const uint8_t> bytes) override {
    written.insert(written.end(), bytes.begin(), bytes.end());
    return true;
  }
  [[nodiscard]] End end() const override { return end_; }
  [[nodiscard]] size_t left() const { return bytes_.size() - at_; }

  std::vector<uint8_t> written;

 private:
  std::vector<uint8_t> bytes_;
  size_t at_ = 0;
  End end_ = End::None;
};

// Messages with headers that are right, one behind the other.
class MessageBytes {
 public:
  MessageBytes& add(MessageKind kind, std::span<const uint8_t> bytes = {}) {
    CHECK(messages_.send(kind, bytes));
    return *this;
  }
  [[nodiscard]] const std::vector<uint8_t>& bytes() const { return stream_.written; }

 private:
  StreamOfBytes stream_;
  MigrationMessages messages_{stream_};
};

class FakeArrival final : public ArrivingMachine {
 public:
  explicit FakeArrival(uint64_t ram_bytes) {
    std::string error;
    memory = GuestMemory::create(ram_bytes, &error);
    CHECK(memory != nullptr);
  }
  [[nodiscard]] GuestMemory& arriving_memory() override { return *memory; }
  // A state that begins with an x is that of another machine.
  [[nodiscard]] bool load_state(std::span<const uint8_t> bytes, bool with_media,
                                std::string* error) override {
    (with_media ? state : rehearsal).assign(bytes.begin(), bytes.end());
    if (bytes.empty() || bytes[0] != 'x') return true;
    *error = "saved state: it begins with an x";
    return false;
  }
  [[nodiscard]] bool expect_late(const LateGrainsSetup& setup, std::string* error) override {
    late = std::make_unique<LateGrains>(*memory, setup, [this] { has_news = true; });
    return late->begin(error);
  }
  [[nodiscard]] bool retake_media(std::string* error) override {
    has_media = !media_are_taken;
    if (media_are_taken) *error = "disk: is in use by another machine";
    return has_media;
  }

  std::unique_ptr<GuestMemory> memory;
  std::unique_ptr<LateGrains> late;
  std::atomic<bool> has_news{false};
  std::string state, rehearsal;
  bool has_media = false, media_are_taken = false;
};

}  // namespace ringshift
