// Virtio devices and drivers that know the interface and mean no good: registers, rings anywhere in
// RAM, chains of any shape. Each access stays in RAM and on the medium, no call moves more than a
// few megabytes, and the same traffic gets the same answers, saved and loaded in the middle or not.
#include <array>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "devices/bus/bus.h"
#include "devices/pci/pci_function.h"
#include "devices/virtio/virtio_9p.h"
#include "devices/virtio/virtio_balloon.h"
#include "devices/virtio/virtio_blk.h"
#include "devices/virtio/virtio_console.h"
#include "devices/virtio/virtio_net.h"
#include "devices/virtio/virtio_pci.h"
#include "devices/virtio/virtio_rng.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"
#include "tests/fuzz/targets/fuzz_bytes.h"
#include "tests/fuzz/targets/fuzz_medium.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/fuzz/targets/worlds.h"

namespace ringshift::fuzz {
namespace {

constexpr int kMostActions = 300;
constexpr size_t kRam = 0x10000;
constexpr uint64_t kMostPerAction = uint64_t{6} << 20;
constexpr unsigned kFunctions = 6, kMostQueues = 3;
constexpr std::array<unsigned, kFunctions> kQueues = {1, 1, 2, 1, 3, 2};
constexpr std::array<AccessWidth, 4> kWidths = {AccessWidth::Byte, AccessWidth::Word,
                                                AccessWidth::Dword, AccessWidth::Dword};

// Where the driver has put the rings of a queue.
struct Rings {
  uint64_t descriptors = 0x1000, available = 0x2000, used = 0x3000;
  unsigned size = 64;
  bool operator==(const Rings&) const = default;
};

// All that is around the devices, and what the driver knows.
struct Surroundings {
  std::array<std::array<Rings, kMostQueues>, kFunctions> rings{};
  std::vector<uint8_t> ram = std::vector<uint8_t>(kRam);
  std::vector<uint8_t> disk;
  std::deque<std::vector<uint8_t>> frames;
  uint32_t sequence = 0;                     // of the next one of TCP
  std::deque<std::vector<uint8_t>> answers;  // of the file server
  std::set<uint16_t> asked, in_use;          // tags
  bool serves = true;
  unsigned room = 4;
  uint8_t random = 0;
  bool broken = false;
  std::array<bool, kFunctions> lines{};
  uint64_t digest = 0xcbf29ce484222325ULL;
  bool operator==(const Surroundings&) const = default;
  void note(uint64_t value) { digest = (digest ^ value) * 0x100000001b3ULL; }
};

class Ram final : public DmaMemory {
 public:
  explicit Ram(Surroundings& around) : around_(around) {}
  void read_ram(uint64_t address, std::span<uint8_t> to) override {
    count(address, to.size());
    std::copy_n(around_.ram.begin() + static_cast<ptrdiff_t>(address), to.size(), to.begin());
  }
  void write_ram(uint64_t address, std::span<const uint8_t> from) override {
    count(address, from.size());
    std::copy(from.begin(), from.end(), around_.ram.begin() + static_cast<ptrdiff_t>(address));
  }
  uint64_t moved = 0;

 private:
  void count(uint64_t address, size_t bytes) {
    CHECK(address <= kRam && bytes <= kRam - address);
    moved += bytes;
  }
  Surroundings& around_;
};

class Source final : public RandomSource {
 public:
  explicit Source(Surroundings& around) : around_(around) {}
  void fill(std::span<uint8_t> bytes) override {
    for (uint8_t& byte : bytes) byte = around_.random++;
  }

 private:
  Surroundings& around_;
};

class Port final : public PacketPort {
 public:
  explicit Port(Surroundings& around) : around_(around) {}
  [[nodiscard]] bool has_room() const override {
    since_asked_ = 0;
    return around_.room != 0;
  }
  void send(std::span<const uint8_t> frame) override {
    CHECK(frame.size() >= VirtioNet::kLeastFrame && frame.size() <= VirtioNet::kLongestFrame);
    // There was some for the first of several that one packet is cut into.
    around_.room -= around_.room != 0 ? 1 : 0;
    CHECK(++since_asked_ <= kLongestLargeFrame / kLeastSegment + 1);
    for (const uint8_t byte : frame) around_.note(byte);
  }
  [[nodiscard]] std::span<const uint8_t> received() const override {
    return around_.frames.empty() ? std::span<const uint8_t>() : around_.frames.front();
  }
  void take_received() override { around_.frames.pop_front(); }
  void set_on_change(std::function<void()> on_change) override { change = std::move(on_change); }
  std::function<void()> change;

 private:
  mutable size_t since_asked_ = 0;
  Surroundings& around_;
};

class Files final : public FilePort {
 public:
  explicit Files(Surroundings& around) : around_(around) {}
  [[nodiscard]] bool is_up() const override { return around_.serves; }
  [[nodiscard]] bool has_room() const override { return around_.in_use.size() < 200; }
  [[nodiscard]] uint16_t free_tag() const override {
    uint16_t tag = 0;
    while (around_.in_use.count(tag) != 0) ++tag;
    return tag;
  }
  void send(std::span<const uint8_t> message) override {
    CHECK(has_room() && message.size() >= kFileHeader && message.size() <= kMostFileMessage);
    const auto tag = static_cast<uint16_t>(message[kFileTagAt] | message[kFileTagAt + 1] << 8);
    CHECK(around_.in_use.insert(tag).second);
    around_.asked.insert(tag);
    for (const uint8_t byte : message) around_.note(byte);
  }
  [[nodiscard]] std::span<const uint8_t> received() const override {
    return around_.answers.empty() ? std::span<const uint8_t>() : around_.answers.front();
  }
  void take_received() override {
    const std::vector<uint8_t>& message = around_.answers.front();
    give_up(static_cast<uint16_t>(message[kFileTagAt] | message[kFileTagAt + 1] << 8));
    around_.answers.pop_front();
  }
  void give_up(uint16_t tag) override {
    around_.in_use.erase(tag);
    around_.asked.erase(tag);
  }
  void set_on_change(std::function<void()> on_change) override { change = std::move(on_change); }
  // The request with the lowest tag is answered, in so many bytes.
  void answer(uint8_t type, size_t bytes) {
    if (around_.asked.empty()) return;
    std::vector<uint8_t> message(kFileHeader + bytes, type);
    const uint16_t tag = *around_.asked.begin();
    for (unsigned i = 0; i < 4; ++i) {
      message[i] = static_cast<uint8_t>(message.size() >> (8 * i));
    }
    message[kFileTagAt] = static_cast<uint8_t>(tag);
    message[kFileTagAt + 1] = static_cast<uint8_t>(tag >> 8);
    around_.asked.erase(tag);
    around_.answers.push_back(std::move(message));
  }
  std::function<void()> change;

 private:
  Surroundings& around_;
};

class Printer final : public SerialBackend {
 public:
  explicit Printer(Surroundings& around) : around_(around) {}
  void transmit(uint8_t byte) override { around_.note(byte); }

 private:
  Surroundings& around_;
};

class Line final : public InterruptLine {
 public:
  Line(Surroundings& around, unsigned index) : around_(around), index_(index) {}
  void set_level(bool asserted) override {
    if (asserted != around_.lines[index_]) around_.note(index_ * 2 + (asserted ? 1 : 0));
    around_.lines[index_] = asserted;
  }

 private:
  Surroundings& around_;
  unsigned index_;
};

class World {
 public:
  World() {
    for (unsigned i = 0; i < kFunctions; ++i) place(i);
  }
  void act(FuzzBytes& bytes);
  void check() const { CHECK(memory_.moved <= kMostPerAction); }
  void visit_state(StateArchive& archive) {
    archive.part("clock", static_cast<VirtualClock&>(clock_));
    for (unsigned i = 0; i < kFunctions; ++i) {
      archive.part("function " + std::to_string(i), *functions_[i]);
    }
  }
  // The medium has what it holds itself.
  [[nodiscard]] Surroundings surroundings() const {
    Surroundings all = around_;
    all.disk = medium_.content;
    return all;
  }
  void take(const Surroundings& other) {
    around_ = other;
    around_.disk.clear();
    medium_.content = other.disk;
    medium_.broken = other.broken;
  }
  [[nodiscard]] uint64_t digest() const { return around_.digest; }

 private:
  static constexpr uint16_t port_of(unsigned index) {
    return static_cast<uint16_t>(0xc000 + 0x100 * index);
  }
  static constexpr uint64_t page_of(unsigned index) { return 0xfe000000 + 0x1000 * index; }
  void place(unsigned index) {
    functions_[index]->write_config(0x10, AccessWidth::Dword, port_of(index));
    functions_[index]->write_config(0x14, AccessWidth::Dword,
                                    static_cast<uint32_t>(page_of(index)));
    functions_[index]->write_config(0x04, AccessWidth::Word, 7);
  }
  void store(unsigned at, AccessWidth width, uint32_t value) {
    page_.write(GuestPhysical(page_of(chosen_) + at), width, value);
  }
  uint32_t load(unsigned at, AccessWidth width) {
    return page_.read(GuestPhysical(page_of(chosen_) + at), width);
  }
  void put(uint64_t at, uint64_t value, unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      around_.ram[(at + i) % kRam] = static_cast<uint8_t>(value >> (8 * i));
    }
  }
  [[nodiscard]] uint16_t word(uint64_t at) const {
    return static_cast<uint16_t>(around_.ram[at % kRam] | around_.ram[(at + 1) % kRam] << 8);
  }
  void give_back(uint64_t address, uint64_t count) {
    CHECK(count != 0 && (address | count) % 4096 == 0);
    CHECK(address <= kRam && count <= kRam - address && count <= VirtioBalloon::kMostAtOnce);
    std::fill_n(around_.ram.begin() + static_cast<ptrdiff_t>(address), count, uint8_t{0});
    around_.note(address);
  }
  [[nodiscard]] static uint64_t choose_address(FuzzBytes& bytes);
  [[nodiscard]] static uint32_t choose_length(FuzzBytes& bytes);
  void access_registers(FuzzBytes& bytes);
  void access_config(FuzzBytes& bytes);
  void start_driver(FuzzBytes& bytes);
  void start_queue(FuzzBytes& bytes, unsigned queue, bool legacy);
  void write_descriptor(FuzzBytes& bytes);
  void write_request(FuzzBytes& bytes);
  void write_ram(FuzzBytes& bytes);
  void offer(FuzzBytes& bytes);
  void add_frame(uint8_t what);
  void come_from_outside(FuzzBytes& bytes);
  void come_for_others(FuzzBytes& bytes, uint8_t what);
  void write_message(FuzzBytes& bytes);

  ManualClock clock_;
  Surroundings around_;
  Ram memory_{around_};
  FuzzMedium medium_{size_t{256} << 10, false};
  Source source_{around_};
  Port packets_{around_};
  PortBus ports_;
  MemoryBus page_;
  PciBuses buses_{ports_, page_, {}};
  std::array<Line, kFunctions> lines_{Line(around_, 0), Line(around_, 1), Line(around_, 2),
                                      Line(around_, 3), Line(around_, 4), Line(around_, 5)};
  VirtioBlk disk_{medium_, "RS1"};
  VirtioRng rng_{source_};
  VirtioNet net_{packets_, {2, 0, 0, 0, 0, 1}};
  Files files_{around_};
  Virtio9p folder_{files_, "fuzz"};
  VirtioBalloon balloon_{
      {.ram_bytes = kRam,
       .deflates_on_oom = true,
       .reports_free = true,
       .give_back = [this](uint64_t address, uint64_t count) { give_back(address, count); }}};
  Printer printer_{around_};
  VirtioConsole console_{printer_};
  VirtioSurroundings at(unsigned index) { return {buses_, clock_, memory_, kRam, lines_[index]}; }
  std::array<std::unique_ptr<VirtioPci>, kFunctions> functions_{
      std::make_unique<VirtioPci>(at(0), disk_),    std::make_unique<VirtioPci>(at(1), rng_),
      std::make_unique<VirtioPci>(at(2), net_),     std::make_unique<VirtioPci>(at(3), folder_),
      std::make_unique<VirtioPci>(at(4), balloon_), std::make_unique<VirtioPci>(at(5), console_)};
  unsigned chosen_ = 0;
  unsigned queue_ = 0;
};

uint64_t World::choose_address(FuzzBytes& bytes) {
  const uint8_t how = bytes.u8();
  if (how < 200) return uint64_t{bytes.u8()} << 8;
  if (how < 230) return bytes.u16();
  if (how < 245) return kRam - bytes.u8();
  return bytes.u64();
}

uint32_t World::choose_length(FuzzBytes& bytes) {
  const uint8_t how = bytes.u8();
  if (how < 100) return how;
  if (how < 200) return 512U * (how - 99);
  return how < 245 ? bytes.u16() : bytes.u32();
}

void World::access_registers(FuzzBytes& bytes) {
  const uint8_t how = bytes.u8();
  const uint8_t at = bytes.u8();
  const AccessWidth width = kWidths[how & 3];
  const bool legacy = (how & 4) != 0;
  const auto port = static_cast<uint16_t>(port_of(chosen_) + at % 0x60);
  const unsigned offset = (how & 16) != 0 ? 0x100U + at : at % 0x48U;
  if ((how & 8) == 0) {
    return around_.note(legacy ? ports_.read(port, width) : load(offset, width));
  }
  const uint32_t value = (how & 32) != 0 ? bytes.u32() : bytes.u8();
  if (legacy) return ports_.write(port, width, value);
  store(offset, width, value);
}

void World::access_config(FuzzBytes& bytes) {
  static constexpr std::array<uint8_t, 10> kPlaces = {0x04, 0x05, 0x88, 0x8c, 0x8d,
                                                      0x90, 0x94, 0x3c, 0x40, 0x34};
  const uint8_t at = bytes.pick(kPlaces);
  const uint8_t value = bytes.u8();
  functions_[chosen_]->write_config(at, AccessWidth::Byte, value);
  around_.note(functions_[chosen_]->read_config(at & 0xfc, AccessWidth::Dword));
}

void World::start_queue(FuzzBytes& bytes, unsigned queue, bool legacy) {
  Rings& rings = around_.rings[chosen_][queue];
  const auto size_at = static_cast<uint16_t>(port_of(chosen_) + 0x0c);
  if (legacy) {
    const uint32_t frame = 1 + bytes.below(14);
    ports_.write(static_cast<uint16_t>(size_at + 2), AccessWidth::Word, queue);
    rings.size = std::max(1U, ports_.read(size_at, AccessWidth::Word));
    rings.descriptors = uint64_t{frame} << 12;
    rings.available = rings.descriptors + 16 * uint64_t{rings.size};
    rings.used = (rings.available + 6 + 2 * uint64_t{rings.size} + 4095) & ~uint64_t{4095};
    return ports_.write(static_cast<uint16_t>(size_at - 4), AccessWidth::Dword, frame);
  }
  store(0x16, AccessWidth::Word, queue);
  store(0x18, AccessWidth::Word, 1U << bytes.below(10));
  rings.size = std::max(1U, load(0x18, AccessWidth::Word));
  rings.descriptors = choose_address(bytes);
  rings.available = choose_address(bytes);
  rings.used = choose_address(bytes);
  unsigned at = 0x20;
  for (const uint64_t address : {rings.descriptors, rings.available, rings.used}) {
    store(at, AccessWidth::Dword, static_cast<uint32_t>(address));
    store(at + 4, AccessWidth::Dword, static_cast<uint32_t>(address >> 32));
    at += 8;
  }
  store(0x1c, AccessWidth::Word, 1);
}

void World::start_driver(FuzzBytes& bytes) {
  const uint8_t how = bytes.u8();
  const bool legacy = (how & 1) != 0;
  place(chosen_);
  store(0x14, AccessWidth::Byte, 0);
  store(0x14, AccessWidth::Byte, 3);
  store(0x00, AccessWidth::Dword, 0);
  const uint32_t features = (how & 2) != 0 ? bytes.u32() : ~0U;
  const uint32_t offered = load(0x04, AccessWidth::Dword);
  store(0x08, AccessWidth::Dword, 0);
  store(0x0c, AccessWidth::Dword, offered & features);
  if (!legacy) {
    store(0x08, AccessWidth::Dword, 1);
    store(0x0c, AccessWidth::Dword, 1);
    store(0x14, AccessWidth::Byte, 11);
  }
  for (unsigned queue = 0; queue < kQueues[chosen_]; ++queue) {
    start_queue(bytes, queue, legacy);
    if ((how & 4) == 0) put(around_.rings[chosen_][queue].available, 0, 4);
  }
  store(0x14, AccessWidth::Byte, legacy ? 7 : 15);
}

void World::write_descriptor(FuzzBytes& bytes) {
  const uint8_t how = bytes.u8();
  const uint64_t table =
      (how & 1) != 0 ? choose_address(bytes) : around_.rings[chosen_][queue_].descriptors;
  const uint64_t at = table + 16 * uint64_t{bytes.below(64)};
  put(at, choose_address(bytes), 8);
  put(at + 8, choose_length(bytes), 4);
  put(at + 12, bytes.u8() & 0x87, 2);
  put(at + 14, bytes.u8(), 2);
}

// Mostly a request as the device expects it: header, data, status.
void World::write_request(FuzzBytes& bytes) {
  static constexpr std::array<uint32_t, 8> kTypes = {0, 1, 4, 8, 11, 13, 0, 1};
  const uint64_t table = around_.rings[chosen_][queue_].descriptors;
  const uint8_t how = bytes.u8();
  const uint64_t header = 0xe000 + 32 * uint64_t{how & 7U};
  const uint32_t type = bytes.pick(kTypes);
  put(header, type, 4);
  put(header + 8, bytes.u8() * uint64_t{4}, 8);
  const bool in = type == 0 || type == 8;
  unsigned index = bytes.below(64);
  const auto describe = [&](uint64_t address, uint32_t length, unsigned flags) {
    const uint64_t at = table + 16 * uint64_t{index};
    put(at, address, 8);
    put(at + 8, length, 4);
    put(at + 12, flags, 2);
    put(at + 14, ++index, 2);
  };
  const unsigned head = index;
  describe(header, 16, 1);
  for (uint32_t left = bytes.below(20); left != 0; --left) {
    const uint64_t address = uint64_t{bytes.u8()} << 8;
    describe(address, type >= 11 ? 16 : 512U << (how >> 3 & 7), in ? 3 : 1);
  }
  describe(header + 24, 1, 2);
  const Rings& rings = around_.rings[chosen_][queue_];
  const uint16_t next = word(rings.available + 2);
  put(rings.available + 4 + 2 * uint64_t{next % rings.size}, head, 2);
  put(rings.available + 2, next + 1U, 2);
}

void World::offer(FuzzBytes& bytes) {
  const Rings& rings = around_.rings[chosen_][queue_];
  const uint8_t how = bytes.u8();
  const uint16_t next = word(rings.available + 2);
  put(rings.available, how >> 6 & 1, 2);
  put(rings.available + 4 + 2 * uint64_t{next % rings.size}, how & 63, 2);
  put(rings.available + 2, (how & 128) != 0 ? bytes.u16() : next + 1U, 2);
}

void World::write_ram(FuzzBytes& bytes) {
  uint64_t at = choose_address(bytes);
  for (const uint8_t byte : bytes.take(bytes.below(64))) put(at++, byte, 1);
}

// Some are TCP's, and follow the one before.
void World::add_frame(uint8_t what) {
  if ((what & 0x80) == 0) return (void)around_.frames.emplace_back(60 + 20 * (what >> 2), what);
  constexpr uint8_t kHeaders[] = {2, 0, 0, 0, 0,  1, 2, 0, 0, 0, 0,    2,    8, 0, 0x45, 0, 0, 0,
                                  0, 1, 0, 0, 64, 6, 0, 0, 1, 2, 3,    4,    5, 6, 7,    8, 0, 80,
                                  1, 2, 0, 0, 0,  0, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0,    0, 0, 0};
  constexpr size_t kSequenceAt = 38;
  const size_t payload = (what & 0x40) != 0 ? 1000 : 100;
  std::vector<uint8_t> frame(std::begin(kHeaders), std::end(kHeaders));
  for (size_t i = 0; i < 4; ++i) {
    frame[kSequenceAt + i] = static_cast<uint8_t>(around_.sequence >> (8 * (3 - i)));
  }
  frame.resize(frame.size() + payload, what);
  around_.sequence += static_cast<uint32_t>(payload);
  complete_packet(frame, *find_tcp(frame, LengthFrom::Frame));
  around_.frames.push_back(std::move(frame));
}

void World::come_from_outside(FuzzBytes& bytes) {
  const uint8_t what = bytes.u8();
  if (chosen_ >= 3) return come_for_others(bytes, what);
  switch (what & 3) {
    case 0:
      around_.broken = medium_.broken = !medium_.broken;
      return;
    case 1:
      around_.room = what >> 2;
      packets_.change();
      return clock_.run_due();
    case 2:
      if (around_.frames.size() < 8) add_frame(what);
      packets_.change();
      return clock_.run_due();
    default:
      clock_.advance(1 + (what >> 2));
  }
}

void World::come_for_others(FuzzBytes& bytes, uint8_t what) {
  static constexpr std::array<uint8_t, 4> kTypes = {7, 109, 117, 105};
  const std::array<uint8_t, 4> typed = {what, 2, 3, 4};
  switch (what & 3) {
    case 0:
      files_.answer(bytes.pick(kTypes), what >> 2);
      files_.change();
      return clock_.run_due();
    case 1:
      balloon_.set_target(uint64_t{what} << 10);
      around_.note(balloon_.kept_bytes());
      around_.note(balloon_.statistics().by_tag[4].value_or(0));
      return;
    case 2:
      around_.note(console_.receive(typed));
      return clock_.run_due();
    default:
      if (what > 250) around_.serves = false;
      clock_.advance(1 + (what >> 2));
  }
}

// A 9P request of some type, in the ring of the folder; of the others it is no request.
void World::write_message(FuzzBytes& bytes) {
  static constexpr std::array<uint8_t, 8> kTypes = {100, 104, 108, 110, 116, 118, 120, 200};
  const Rings& rings = around_.rings[chosen_][queue_];
  const uint8_t how = bytes.u8();
  const uint64_t at = 0xd000 + 64 * uint64_t{how & 15U};
  put(at, (how & 64) != 0 ? bytes.u8() : 9, 4);
  put(at + 4, bytes.pick(kTypes), 1);
  put(at + 5, bytes.u8() & 31, 2);
  put(at + 7, bytes.u8() & 31, 2);
  const unsigned head = (how & 15U) * 2;
  put(rings.descriptors + 16 * uint64_t{head}, at, 8);
  put(rings.descriptors + 16 * uint64_t{head} + 8,
      9U | uint64_t{1} << 32 | uint64_t{head + 1} << 48, 8);
  put(rings.descriptors + 16 * uint64_t{head + 1}, at + 32, 8);
  put(rings.descriptors + 16 * uint64_t{head + 1} + 8,
      uint64_t{(how & 128) != 0 ? 11U : 32U} | uint64_t{2} << 32, 8);
  const uint16_t next = word(rings.available + 2);
  put(rings.available + 4 + 2 * uint64_t{next % rings.size}, head, 2);
  put(rings.available + 2, next + 1U, 2);
}

void World::act(FuzzBytes& bytes) {
  memory_.moved = 0;
  const uint8_t what = bytes.u8();
  chosen_ = (what >> 4) % kFunctions;
  queue_ = chosen_ < 3 ? (chosen_ == 2 ? what >> 7 : 0) : bytes.below(kQueues[chosen_]);
  switch (what & 15) {
    case 0:
      return start_driver(bytes);
    case 1:
    case 2:
      return access_registers(bytes);
    case 3:
      return access_config(bytes);
    case 4:
    case 5:
      return write_descriptor(bytes);
    case 6:
    case 7:
      return offer(bytes);
    case 8:
    case 9:
      return chosen_ < 3 ? write_request(bytes) : write_message(bytes);
    case 10:
      return write_ram(bytes);
    case 11:
    case 12:
      return come_from_outside(bytes);
    case 13:
      ports_.write(static_cast<uint16_t>(port_of(chosen_) + 0x10), AccessWidth::Word, queue_);
      break;
    default:
      store(0x200 + 4 * queue_, AccessWidth::Word, queue_);
      break;
  }
  around_.note(load(0x14, AccessWidth::Byte));
}

}  // namespace

void fuzz_virtio(std::span<const uint8_t> input) { run_world_alike<World>(input, kMostActions); }

}  // namespace ringshift::fuzz
