// Two machines on two threads of one process: each has its own processor, memory, clock and
// counters, and the signals of each find it.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "monitor/machine/machine.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {
namespace {

// A Multiboot kernel (Multiboot specification 0.6.96, address fields) of one page at 1 MiB:
// programs the timer for some hundred interrupts, counts them at HLT, and writes `result` to port
// 0xf4. Before that it stores through many pages, so that windows fill and host faults are taken.
std::vector<uint8_t> kernel(uint8_t result) {
  constexpr uint32_t kLoad = 0x100000, kMagic = 0x1badb002, kFlags = 0x10000;
  constexpr uint32_t kHeaderBytes = 32, kEntry = kLoad + kHeaderBytes;
  std::vector<uint8_t> image;
  const auto put32 = [&image](uint32_t value) {
    for (int i = 0; i < 4; ++i) image.push_back(static_cast<uint8_t>(value >> (8 * i)));
  };
  put32(kMagic);
  put32(kFlags);
  put32(0U - kMagic - kFlags);
  put32(kLoad);   // header_addr
  put32(kLoad);   // load_addr
  put32(0);       // load_end_addr: all of the file
  put32(0);       // bss_end_addr
  put32(kEntry);  // entry_addr
  const std::vector<uint8_t> code = {
      0xbb, 200,    0x00, 0x00, 0x00,        // mov ebx, 200: rounds
      0xbf, 0x00,   0x00, 0x20, 0x00,        // round: mov edi, 0x200000
      0xb9, 0x00,   0x04, 0x00, 0x00,        // mov ecx, 1024
      0x89, 0x1f,                            // next: mov [edi], ebx
      0x3b, 0x1f,                            // cmp ebx, [edi]
      0x75, 0x14,                            // jne wrong
      0x81, 0xc7,   0x00, 0x10, 0x00, 0x00,  // add edi, 4096
      0xe2, 0xf2,                            // loop next
      0x4b,                                  // dec ebx
      0x75, 0xe5,                            // jnz round
      0xb0, result,                          // mov al, result
      0xe6, 0xf4,                            // out 0xf4, al
      0xf4,                                  // hlt
      0x90, 0x90,   0x90,                    //
      0xb0, 0x7f,   0xe6, 0xf4, 0xf4,        // wrong: mov al, 0x7f; out 0xf4, al; hlt
  };
  image.insert(image.end(), code.begin(), code.end());
  return image;
}

struct GuestRun {
  uint8_t result = 0;
  std::string problem;
  MachineOutcome outcome;
  Counters counted;

  void go() {
    const std::string path = ::testing::TempDir() + "two_machines_" + std::to_string(result);
    const std::vector<uint8_t> image = kernel(result);
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(image.data()),
               static_cast<std::streamsize>(image.size()));
    MachineConfig config;
    config.boot.kernel_path = path;
    config.memory_bytes = 16U << 20;
    config.ports.serial = {};
    config.vcpu.user = UserEngine::Translate;
    std::unique_ptr<Machine> machine = Machine::create(config, &problem);
    if (machine != nullptr) outcome = machine->run();
    machine.reset();
    counted = counters();
    std::remove(path.c_str());
  }
};

void expect_done(const GuestRun& run) {
  ASSERT_EQ(run.problem, "");
  EXPECT_EQ(run.outcome.reason, StopReason::DebugExit) << run.outcome.message;
  EXPECT_EQ(run.outcome.debug_exit_value, run.result);
  EXPECT_GT(run.counted.units_translated, 0U);
  EXPECT_GT(run.counted.faults_hidden, 0U);
}

TEST(TwoMachines, RunOnTwoThreads) {
  for (int round = 0; round < 5; ++round) {
    std::array<GuestRun, 2> runs;
    runs[0].result = 11;
    runs[1].result = 22;
    std::thread other([&runs] { runs[1].go(); });
    std::thread one([&runs] { runs[0].go(); });
    one.join();
    other.join();
    expect_done(runs[0]);
    expect_done(runs[1]);
    // The same guest but for one byte: what one counts is not counted on the other.
    EXPECT_EQ(runs[0].counted.units_translated, runs[1].counted.units_translated);
  }
}

TEST(TwoMachines, StandInOneProcessWithoutRunning) {
  // The one that was made last runs first.
  GuestRun inner;
  inner.result = 33;
  GuestRun outer;
  outer.result = 44;
  std::thread within([&inner] { inner.go(); });
  within.join();
  std::thread after([&outer] { outer.go(); });
  after.join();
  expect_done(inner);
  expect_done(outer);
}

}  // namespace
}  // namespace ringshift
