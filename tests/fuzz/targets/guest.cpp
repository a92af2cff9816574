// Any bytes as a hostile guest: code of both rings, descriptors and page tables, run by a whole
// machine under the translator, whose every boundary is compared with the interpreter's.
// The frame around the bytes goes on after every exception, at another of them.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>

#include "monitor/boot/boot_layout.h"
#include "monitor/lab/lockstep/lockstep.h"
#include "monitor/machine/machine.h"
#include "shadowmmu/base/check.h"
#include "tests/fuzz/targets/fuzz_bytes.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/fuzz/targets/memory_file.h"

namespace ringshift::fuzz {
namespace {

constexpr uint64_t kRam = kSmallestRam;
constexpr uint32_t kGdt = 0x1000, kIdt = 0x2000, kAgain = 0x3000, kRounds = 0x3ff0, kSeed = 0x3ff4,
                   kTss = 0x4000, kCode = 0x10000, kDirectory = 0x30000, kTables = 0x31000;
constexpr uint32_t kMostCode = 0x1000;

// again: selectors and stack as they were; one round less, or the debug exit; another place of the
// code by the seed (EBP = seed, EAX = place), in ring 0 or, by a bit of the seed, in ring 3.
constexpr std::array<uint8_t, 126> kAgainCode = {
    0xb8, 0x10, 0x00, 0x00, 0x00,              // mov eax, 0x10
    0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0,        // mov ds, eax; mov es, eax; mov ss, eax
    0xbc, 0x00, 0xa0, 0x00, 0x00, 0xfc,        // mov esp, 0xa000; cld
    0xff, 0x0d, 0xf0, 0x3f, 0x00, 0x00,        // dec dword [kRounds]
    0x74, 0x5f,                                // jz done
    0x69, 0x05, 0xf4, 0x3f, 0x00, 0x00, 0x6d,  // imul eax, [kSeed], 1103515245
    0x4e, 0xc6, 0x41, 0x05, 0x39, 0x30, 0x00,  // add eax, 12345
    0x00, 0xa3, 0xf4, 0x3f, 0x00, 0x00,        // mov [kSeed], eax
    0x89, 0xc5, 0xc1, 0xe8, 0x08,              // mov ebp, eax; shr eax, 8
    0x25, 0xff, 0x07, 0x00, 0x00,              // and eax, 0x7ff
    0x05, 0x00, 0x00, 0x01, 0x00,              // add eax, kCode
    0xbb, 0x00, 0x08, 0x01, 0x00,              // mov ebx, kCode + 0x800
    0xbe, 0xf0, 0x0f, 0x02, 0x00,              // mov esi, 0x20ff0
    0xbf, 0xf8, 0x1f, 0x02, 0x00,              // mov edi, 0x21ff8
    0xb9, 0x20, 0x00, 0x00, 0x00,              // mov ecx, 0x20
    0xba, 0xf8, 0x03, 0x00, 0x00,              // mov edx, 0x3f8
    0xf7, 0xc5, 0x00, 0x00, 0x00, 0x40,        // test ebp, 0x40000000
    0x75, 0x02, 0xff, 0xe0,                    // jnz ring3; jmp eax
    0x6a, 0x23, 0x68, 0x00, 0xc0, 0x00, 0x00,  // ring3: push 0x23; push 0xc000
    0x68, 0x02, 0x02, 0x00, 0x00, 0x6a, 0x1b,  // push 0x202; push 0x1b
    0x50, 0xb8, 0x23, 0x00, 0x00, 0x00,        // push eax; mov eax, 0x23
    0x8e, 0xd8, 0x8e, 0xc0, 0xcf,              // mov ds, eax; mov es, eax; iretd
    0xb0, 0x11, 0xe6, 0xf4, 0xfa, 0xf4};       // done: mov al, 0x11; out 0xf4, al; cli; hlt

// A machine takes the signals of its process; libFuzzer wants its own back.
class KeptSignals {
 public:
  KeptSignals() {
    for (int number = 1; number < kCount; ++number) sigaction(number, nullptr, &actions_[number]);
    sigaltstack(nullptr, &stack_);
  }
  ~KeptSignals() {
    for (int number = 1; number < kCount; ++number) sigaction(number, &actions_[number], nullptr);
    sigaltstack(&stack_, nullptr);
  }
  KeptSignals(const KeptSignals&) = delete;
  KeptSignals& operator=(const KeptSignals&) = delete;

 private:
  static constexpr int kCount = 32;  // the real-time ones are the machine's own
  struct sigaction actions_[kCount] = {};
  stack_t stack_{};
};

// The least that boots; what runs is written over it.
const MemoryFile& placeholder() {
  constexpr uint32_t kMagic = 0x1badb002, kFlags = 0x10000, kLoad = 0x100000;
  static const std::array<uint32_t, 9> kImage = {kMagic, kFlags, 0U - kMagic - kFlags, kLoad, kLoad,
                                                 0,      0,      kLoad + 32,           0xf4};
  static const MemoryFile file({reinterpret_cast<const uint8_t*>(kImage.data()), sizeof(kImage)});
  return file;
}

MachineConfig config_of(FuzzBytes& bytes, lab::Lockstep* lockstep) {
  MachineConfig config;
  config.boot.kernel_path = placeholder().path();
  config.memory_bytes = kRam;
  config.ports.serial = {};
  config.raw_console = false;
  config.vcpu.user = UserEngine::Translate;
  config.vcpu.observer = lockstep;
  config.translator.arena_bytes = uint64_t{1} << 20;
  config.translator.features.interpret_time = true;  // so that the follower can be told
  const uint8_t switches = bytes.u8();
  if ((switches & 1) != 0) config.translator.arena_bytes = 64U << 10;
  if ((switches & 2) != 0) config.translator.limits.max_instructions = 1;
  if ((switches & 4) != 0) config.translator.make_links = false;
  if ((switches & 8) != 0) config.vcpu.make_callouts = false;
  if ((switches & 16) != 0) config.vcpu.torture.drop_every = 5;
  if ((switches & 32) != 0) config.vcpu.torture.verify_every = 20;
  config.apic = (switches & 64) != 0;
  return config;
}

class Scene {
 public:
  explicit Scene(Machine& machine) : memory_(machine.memory()), state_(machine.state()) {}

  void arrange(FuzzBytes& bytes) {
    constexpr uint32_t kHowOften = 24;
    const uint8_t shape = bytes.u8();
    write_descriptors();
    std::memcpy(memory_.at(GuestPhysical(kAgain)), kAgainCode.data(), kAgainCode.size());
    store32(memory_, kRounds, kHowOften);
    store32(memory_, kSeed, bytes.u32());
    if ((shape & 1) != 0) write_page_tables();
    for (uint32_t left = bytes.u8() % 64; left != 0; --left) write_choice(bytes);
    const auto code = bytes.take(kMostCode);
    std::copy(code.begin(), code.end(), memory_.at(GuestPhysical(kCode)));
    enter(shape);
  }

 private:
  void write_descriptors() {
    store64(memory_, kGdt + 0x08, 0x00cf9b000000ffff);
    store64(memory_, kGdt + 0x10, 0x00cf93000000ffff);
    store64(memory_, kGdt + 0x18, 0x00cffb000000ffff);
    store64(memory_, kGdt + 0x20, 0x00cff3000000ffff);
    store64(memory_, kGdt + 0x28, 0x00008b0040000067);
    for (uint32_t vector = 0; vector < 256; ++vector) {
      store64(memory_, kIdt + vector * 8, 0x0000ee0000080000 | kAgain);
    }
    store32(memory_, kTss + 4, 0xb000);
    store32(memory_, kTss + 8, 0x10);
    store16(memory_, kTss + 102, 104);
  }
  // The first 4 MiB as they are, for both rings; the next four as the input says.
  void write_page_tables() {
    store32(memory_, kDirectory, kTables | 7);
    store32(memory_, kDirectory + 4, (kTables + 0x1000) | 7);
    for (uint32_t page = 0; page < 1024; ++page) {
      store32(memory_, kTables + page * 4, page << 12 | 7);
      store32(memory_, kTables + 0x1000 + page * 4, page << 12 | 7);
    }
  }
  // A dword of what decides how the guest runs.
  void write_choice(FuzzBytes& bytes) {
    static constexpr std::array<uint32_t, 8> kPlaces = {
        kGdt + 0x30, kIdt, kTss, kDirectory, kTables, kTables + 0x1000, kTables + 0x40, 0x20f00};
    const uint32_t place = bytes.pick(kPlaces);
    const uint32_t at = place + bytes.u8() * 4U;
    store32(memory_, at, bytes.u32());
  }
  void enter(uint8_t shape) {
    state_.gdtr = {kGdt, 0xff};
    state_.idtr = {kIdt, 0x7ff};
    state_.tr = {kTss, 0x67, 0x28, 0x8b};
    state_.seg(SegmentRegister::Cs) = {0, 0xffffffff, 0x08, 0xc09b};
    for (const SegmentRegister name :
         {SegmentRegister::Es, SegmentRegister::Ss, SegmentRegister::Ds, SegmentRegister::Fs,
          SegmentRegister::Gs}) {
      state_.seg(name) = {0, 0xffffffff, 0x10, 0xc093};
    }
    state_.eip = kAgain;
    state_.cr4 = (shape & 2) != 0 ? kCr4Osfxsr | kCr4Osxmmexcpt : 0;
    if ((shape & 4) != 0) state_.cr4 |= kCr4Pse | kCr4Pge;
    if ((shape & 1) == 0) return;
    state_.cr3 = kDirectory;
    state_.cr0 |= kCr0Pg | ((shape & 8) != 0 ? kCr0Wp : 0);
  }

  GuestMemory& memory_;
  GuestState& state_;
};

void report(const lab::Difference& difference) {
  if (!difference.found) return;
  std::fprintf(stderr, "different after %llu instructions, between %08x and %08x: %s\n",
               static_cast<unsigned long long>(difference.instruction), difference.from_eip,
               difference.to_eip, difference.what.c_str());
  for (const std::string& line : difference.path) std::fprintf(stderr, "  %s\n", line.c_str());
  CHECK(!difference.found);
}

}  // namespace

void fuzz_guest(std::span<const uint8_t> input) {
  const KeptSignals kept;
  FuzzBytes bytes(input);
  lab::LockstepOptions options;
  options.seconds = 0.1;
  options.come_by = 100'000;
  lab::Lockstep lockstep(options);
  std::string error;
  const auto machine = Machine::create(config_of(bytes, &lockstep), &error);
  if (machine == nullptr) std::fprintf(stderr, "%s\n", error.c_str());
  CHECK(machine != nullptr);
  Scene(*machine).arrange(bytes);
  machine->processor().cpu().memory.flush();
  machine->processor().note_state_changed();
  CHECK(lockstep.attach(machine.get(), &error));
  (void)machine->run();
  lockstep.finish();
  report(lockstep.difference());
}

}  // namespace ringshift::fuzz
