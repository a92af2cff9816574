#include "devices/host/inbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace ringshift {
namespace {

using Kind = HostInput::Kind;

TEST(Inbox, IsTakenInTheOrderOfItsComing) {
  int woken = 0;
  Inbox inbox([&] { ++woken; });
  inbox.put({Kind::ConsoleBytes, 1, {'a'}});
  inbox.put({Kind::Debugger, 0, {}});
  inbox.put({Kind::ConsoleBytes, 2, {'b', 'c'}});
  EXPECT_EQ(woken, 3);
  const std::vector<HostInput> taken = inbox.take();
  ASSERT_EQ(taken.size(), 3U);
  EXPECT_EQ(taken[0].source, 1);
  EXPECT_EQ(taken[1].kind, Kind::Debugger);
  EXPECT_EQ(taken[2].bytes, (std::vector<uint8_t>{'b', 'c'}));
  EXPECT_TRUE(inbox.take().empty());
}

// A debugger that sends without end, or a signal that is sent again and again, takes no memory.
TEST(Inbox, WhatCountsOnceIsThereOnceUntilItIsTaken) {
  int woken = 0;
  Inbox inbox([&] { ++woken; });
  for (int i = 0; i < 3; ++i) {
    for (const Kind kind : {Kind::Quit, Kind::Report, Kind::Save, Kind::Debugger}) {
      inbox.put({kind, 0, {}});
    }
    inbox.put({Kind::PromptKey, 0, {}});
  }
  EXPECT_EQ(inbox.take().size(), 4U + 3U) << "twice the prompt's key is another thing than once";
  EXPECT_EQ(woken, 7);
  inbox.put({Kind::Quit, 0, {}});
  EXPECT_EQ(inbox.take().size(), 1U);
}

TEST(Inbox, IsFilledFromManyThreads) {
  constexpr int kThreads = 4, kEach = 1000;
  std::atomic<int> woken = 0;
  Inbox inbox([&] { ++woken; });
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&inbox, i] {
      for (int j = 0; j < kEach; ++j) {
        inbox.put({Kind::ConsoleBytes, static_cast<uint8_t>(i), {static_cast<uint8_t>(j)}});
      }
    });
  }
  std::vector<int> next(kThreads);
  int taken = 0;
  while (taken < kThreads * kEach) {
    for (const HostInput& input : inbox.take()) {
      EXPECT_EQ(input.bytes.at(0), static_cast<uint8_t>(next[input.source]++));
      ++taken;
    }
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(woken, kThreads * kEach);
  EXPECT_TRUE(inbox.take().empty());
}

}  // namespace
}  // namespace ringshift
