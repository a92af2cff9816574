// GuestPorts: the end of each port, and the port that received bytes belong to.
#include "monitor/machine/ports/guest_ports.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/devices/bus/device_test_support.h"

namespace ringshift {
namespace {

using Kind = PortTarget::Kind;

class Ports : public ::testing::Test {
 protected:
  Ports() {
    char pattern[] = "/tmp/ringshift-ports-XXXXXX";
    folder_ = mkdtemp(pattern);
    config_.serial.kind = Kind::None;
  }
  ~Ports() override {
    ports_.reset();
    std::filesystem::remove_all(folder_);
  }
  void make() {
    std::string error;
    ports_ = GuestPorts::create(config_,
                                {.clock = clock_,
                                 .inbox = inbox_,
                                 .page = nullptr,
                                 .watched_text = watched_,
                                 .is_replay = false,
                                 .make_console = {}},
                                &error);
    ASSERT_NE(ports_, nullptr) << error;
  }
  static void print(SerialBackend* to, const std::string& text) {
    for (const char c : text) to->transmit(static_cast<uint8_t>(c));
  }
  [[nodiscard]] std::string content(const char* name) const {
    std::ifstream file(folder_ + "/" + name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  PortTarget file(const char* name) { return {.kind = Kind::File, .path = folder_ + "/" + name}; }

  ManualClock clock_;
  Inbox inbox_{[] {}};
  std::string folder_, watched_;
  PortsConfig config_;
  std::unique_ptr<GuestPorts> ports_;
};

TEST_F(Ports, WithoutAPlaceOutputVanishes) {
  make();
  print(ports_->serial(), "lost");
  print(ports_->debug_console(), "lost");
  EXPECT_EQ(ports_->second_serial(), nullptr);
  EXPECT_EQ(ports_->virtio_console(), nullptr);
  EXPECT_EQ(ports_->console(), nullptr);
  EXPECT_FALSE(ports_->is_unread());
  EXPECT_TRUE(ports_->finish());
}

TEST_F(Ports, EachPortHasItsOwn) {
  config_.serial = file("a");
  config_.second_serial = file("b");
  config_.debug_console = file("c");
  config_.debug_console_is_serials = false;
  config_.virtio_console = file("d");
  config_.has_virtio_console = true;
  make();
  print(ports_->serial(), "first");
  print(ports_->second_serial(), "second");
  print(ports_->debug_console(), "third");
  print(ports_->virtio_console(), "fourth");
  EXPECT_TRUE(ports_->finish());
  EXPECT_EQ(content("a") + " " + content("b") + " " + content("c") + " " + content("d"),
            "first second third fourth");
}

TEST_F(Ports, TheDebugConsolePrintsWhereTheSerialPortDoes) {
  config_.serial = file("a");
  make();
  print(ports_->serial(), "one ");
  print(ports_->debug_console(), "two");
  EXPECT_TRUE(ports_->finish());
  EXPECT_EQ(content("a"), "one two");
}

TEST_F(Ports, AVirtioConsoleMayLeadNowhere) {
  config_.has_virtio_console = true;
  make();
  ASSERT_NE(ports_->virtio_console(), nullptr);
  print(ports_->virtio_console(), "lost");
}

TEST_F(Ports, AWatchedTextAsksForASavedMachine) {
  watched_ = "login:";
  make();
  print(ports_->serial(), "no logi");
  EXPECT_TRUE(inbox_.take().empty());
  print(ports_->serial(), "n: login:");
  const auto asked = inbox_.take();
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].kind, HostInput::Kind::Save);
}

TEST_F(Ports, WhatComesIsForThePortItCameTo) {
  make();
  RecordingLine line;
  Uart16550 first(clock_, line, nullptr), second(clock_, line, nullptr);
  constexpr unsigned kInterruptEnable = 1, kLineStatus = 5;
  ports_->inlet_of(GuestPorts::kSerialSocket)
      .put({HostInput::Kind::ConsoleBytes, GuestPorts::kSerialSocket, {'f'}});
  ports_->inlet_of(GuestPorts::kSecondSocket)
      .put({HostInput::Kind::ConsoleBytes, GuestPorts::kSecondSocket, {'s'}});
  ports_->deliver(first, second, nullptr);
  EXPECT_EQ(in8(first, kLineStatus) & 1, 0);  // nobody listens
  out8(first, kInterruptEnable, 1);
  out8(second, kInterruptEnable, 1);
  ports_->deliver(first, second, nullptr);
  EXPECT_EQ(in8(first, 0), 'f');
  EXPECT_EQ(in8(second, 0), 's');
}

}  // namespace
}  // namespace ringshift
