#include "monitor/machine/added_devices.h"

#include <gtest/gtest.h>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

std::string problem_with(const std::string& text) {
  std::vector<AddedDevice> devices;
  std::string problem;
  const bool good = parse_device(text, &devices, &problem);
  EXPECT_EQ(good, problem.empty());
  EXPECT_EQ(devices.size(), problem.empty() ? 1U : 0U);
  EXPECT_EQ(problem.find('\n'), std::string::npos);
  return problem;
}

DebugExitRequest exit_port(const std::string& text) {
  std::vector<AddedDevice> devices;
  std::string problem;
  EXPECT_TRUE(parse_device(text, &devices, &problem)) << problem;
  return std::get<DebugExitRequest>(devices.at(0));
}

TEST(AddedDevices, NamesAndItemsAreUnderstood) {
  EXPECT_EQ(problem_with("pc-testdev"), "");
  EXPECT_EQ(problem_with("virtio-rng-pci"), "");
  EXPECT_EQ(exit_port("isa-debug-exit").first_port, 0x501U);
  EXPECT_EQ(exit_port("isa-debug-exit").ports, 2U);
  EXPECT_EQ(exit_port("isa-debug-exit,iobase=0xf4,iosize=0x4").first_port, 0xf4U);
  EXPECT_EQ(exit_port("isa-debug-exit,iosize=4,iobase=244").first_port, 0xf4U);
  EXPECT_EQ(exit_port("isa-debug-exit,iosize=4").ports, 4U);
  EXPECT_EQ(exit_port("isa-debug-exit,iobase=0xffff,iosize=1").first_port, 0xffffU);
}

TEST(AddedDevices, WhatMakesNoSenseIsNamed) {
  for (const char* text :
       {"", "nope", "pc-testdev,", "virtio-rng-pci,", "virtio-rng-pci,x=1", "pc-testdev,x=1",
        "isa-debug-exit,", "isa-debug-exit,iobase",
        "isa-debug-exit,iobase=", "isa-debug-exit,iobase=0x", "isa-debug-exit,iobase=f4",
        "isa-debug-exit,iobase=-1", "isa-debug-exit,iobase=0x10000", "isa-debug-exit,iosize=0",
        "isa-debug-exit,iobase=0xffff", "isa-debug-exit,iobase=0xf4,iosize=4,",
        "isa-debug-exit,id=x", "isa-debug-exit,iosize=99999999999"}) {
    EXPECT_EQ(problem_with(text).find("--device: "), 0U) << text;
  }
  EXPECT_NE(problem_with("nope").find("pc-testdev, isa-debug-exit"), std::string::npos);
}

class AddedToABoard : public ::testing::Test {
 protected:
  std::unique_ptr<AddedDevices> add(const std::vector<std::string>& texts) {
    std::vector<AddedDevice> devices;
    for (const std::string& text : texts) {
      EXPECT_TRUE(parse_device(text, &devices, &problem_)) << problem_;
    }
    return AddedDevices::create(
        devices,
        {ports_, memory_, pair_, nullptr, [this](uint8_t code) { codes_.push_back(code); }, [] {}},
        &problem_);
  }
  PortBus ports_;
  MemoryBus memory_;
  InterruptControllerPair pair_;
  std::vector<uint8_t> codes_;
  std::string problem_;
};

TEST_F(AddedToABoard, AnyWriteToTheExitPortEnds) {
  const auto devices = add({"isa-debug-exit,iobase=0xf4,iosize=4"});
  ASSERT_NE(devices, nullptr);
  ports_.write(0xf4, AccessWidth::Dword, 0x12345605);
  ports_.write(0xf7, AccessWidth::Byte, 0);
  EXPECT_EQ(codes_, (std::vector<uint8_t>{11, 1}));
  EXPECT_EQ(ports_.read(0xf4, AccessWidth::Byte), 0U);
}

TEST_F(AddedToABoard, ItsPortsAreItsOwnEvenWhereTheBoardHasSomething) {
  const auto devices = add({"isa-debug-exit,iobase=0x20,iosize=1"});
  ASSERT_NE(devices, nullptr);
  EXPECT_TRUE(ports_.claim(0x20, 2, pair_.master_ports(), "pic 1"));
  ports_.write(0x20, AccessWidth::Byte, 2);
  EXPECT_EQ(codes_, (std::vector<uint8_t>{5}));
}

TEST_F(AddedToABoard, TwoInOnePlaceAreRefused) {
  EXPECT_EQ(add({"pc-testdev", "isa-debug-exit,iobase=0xe3"}), nullptr);
  EXPECT_NE(problem_, "");
  EXPECT_EQ(add({"pc-testdev", "pc-testdev"}), nullptr);
  EXPECT_EQ(add({"virtio-rng-pci", "virtio-rng-pci"}), nullptr);
}

TEST_F(AddedToABoard, LinesOfTheBoardAreRaisedAndThoseOfNobodyAreNot) {
  const auto devices = add({"pc-testdev"});
  ASSERT_NE(devices, nullptr);
  std::vector<unsigned> seen;
  pair_.set_on_line([&](unsigned irq, bool) { seen.push_back(irq); });
  for (uint16_t line = 0; line < 24; ++line) {
    ports_.write(static_cast<uint16_t>(0x2000 + line), AccessWidth::Byte, 1);
  }
  EXPECT_EQ(seen.size(), 15U);  // all but the cascade, and no I/O APIC for the others
}

// A board with the added devices of a command line.
struct AddedBoard {
  explicit AddedBoard(const std::vector<AddedDevice>& wanted) {
    std::string error;
    added = AddedDevices::create(wanted,
                                 {.ports = ports,
                                  .memory = memory,
                                  .interrupts = interrupts,
                                  .on_exit = [](uint8_t) {},
                                  .on_flush = [] {}},
                                 &error);
    EXPECT_NE(added, nullptr) << error;
  }
  void visit_state(StateArchive& archive) { archive.part("added", *added); }
  PortBus ports;
  MemoryBus memory;
  InterruptControllerPair interrupts;
  std::unique_ptr<AddedDevices> added;
};

TEST(AddedDevices, WhatTheyHoldIsSavedAndLoaded) {
  const std::vector<AddedDevice> wanted = {TestDeviceRequest(), DebugExitRequest()};
  AddedBoard first(wanted), second(wanted), without({DebugExitRequest()});
  first.ports.write(0xe0, AccessWidth::Dword, 0x12345678);
  first.memory.write(GuestPhysical(0xff008000), AccessWidth::Word, 0xabcd);
  std::vector<uint8_t> saved;
  std::string error;
  ASSERT_TRUE(StateArchive::save([&](StateArchive& a) { first.visit_state(a); }, &saved, &error));
  ASSERT_TRUE(StateArchive::load(
      saved, [&](StateArchive& a) { second.visit_state(a); }, &error));
  EXPECT_EQ(second.ports.read(0xe0, AccessWidth::Dword), 0x12345678U);
  EXPECT_EQ(second.memory.read(GuestPhysical(0xff008000), AccessWidth::Word), 0xabcdU);
  EXPECT_FALSE(StateArchive::load(
      saved, [&](StateArchive& a) { without.visit_state(a); }, &error));
  EXPECT_EQ(error, "saved state: added/test devices: it was 1 where it was saved, and is 0 here");
}

}  // namespace
}  // namespace ringshift
