// GdbSession: requests and replies, with a target without a machine; nonsense is an error.
#include "monitor/debug/gdb/gdb_session.h"

#include <gtest/gtest.h>

#include "tests/support/debug_fixture.h"

namespace ringshift::debug {
namespace {

class Session : public ::testing::Test, protected SessionFixture {};

TEST_F(Session, AGoodPacketIsAcknowledgedABadOneRefused) {
  EXPECT_EQ(ask("qAttached"), "1");
  EXPECT_EQ(acknowledgements, "+");
  send_raw("$qAttached#00");
  EXPECT_EQ(acknowledgements, "+-");
}

TEST_F(Session, WithoutAcknowledgementsABadPacketGetsAnError) {
  EXPECT_EQ(ask("QStartNoAckMode"), "OK");
  acknowledgements.clear();
  EXPECT_EQ(ask("qC"), "QC1");
  send_raw("$qC#00");
  EXPECT_EQ(replies.back(), "E01");
  EXPECT_EQ(acknowledgements, "");
}

TEST_F(Session, AReplyThatWasNotUnderstoodIsRepeated) {
  EXPECT_EQ(ask("qC"), "QC1");
  send_raw("-");
  EXPECT_EQ(replies, (std::vector<std::string>{"QC1", "QC1"}));
}

TEST_F(Session, WhatIsUnknownGetsTheEmptyReply) {
  for (const char* request : {"", "!", "Y", "vFile:open", "qNothing", "Z9,1000,1"}) {
    EXPECT_EQ(ask(request), "") << request;
  }
}

TEST_F(Session, WhatMakesNoSenseGetsAnError) {
  for (const char* request : {"m",
                              "m1000",
                              "m1000,",
                              "m1000,4x",
                              "mxyz,4",
                              "m100000000,4",
                              "M1000,2:00",
                              "M1000,1:0",
                              "M1000,1",
                              "X1000,5:ab",
                              "p",
                              "pfff",
                              "P0=1",
                              "P0",
                              "Pffff=00000000",
                              "G00",
                              "Z0",
                              "Z0,1000",
                              "Z0,1000,1x",
                              "Z2,1000,0",
                              "Z2,1000,ffffffff",
                              "z1,,1",
                              "vCont;",
                              "vCont;x",
                              "vCont;C",
                              "C",
                              "Cxx",
                              "c12x",
                              "T2",
                              "qRcmd,1",
                              "qXfer:features:read:target.xml:0",
                              "qXfer:features:read:other.xml:0,10",
                              "qXfer:features:read:target.xml:ffffff,10"}) {
    const std::string reply = ask(request);
    EXPECT_TRUE(reply.starts_with("E")) << request << ": " << reply;
  }
  EXPECT_TRUE(target.execution.is_paused());
  EXPECT_FALSE(target.execution.has_points());
}

TEST_F(Session, RegistersAreReadAndWrittenOneByOneAndAllTogether) {
  target.guest.gpr = {1, 2, 3, 4, 5, 6, 7, 8};
  target.guest.eip = 0xc0100000;
  const std::string all = ask("g");
  EXPECT_EQ(all.size(), 2 * all_register_bytes());
  EXPECT_TRUE(all.starts_with("0100000002000000"));
  EXPECT_EQ(ask("p8"), "000010c0");
  EXPECT_EQ(ask("P1=78563412"), "OK");
  EXPECT_EQ(target.guest.gpr[1], 0x12345678U);
  EXPECT_EQ(ask("G" + all), "OK");
  EXPECT_EQ(target.guest.gpr[1], 2U);
  // A selector has a descriptor behind it: it cannot be written.
  EXPECT_EQ(ask("Pa=33000000"), "E02");
}

TEST_F(Session, MemoryIsReadAsFarAsItGoesAndWrittenAsAWhole) {
  EXPECT_EQ(ask("M1000,3:010203"), "OK");
  EXPECT_EQ(ask("m1000,3"), "010203");
  EXPECT_EQ(ask(std::string_view("X1001,2:\0}", 10)), "OK");
  EXPECT_EQ(ask("m1000,3"), "01007d");
  EXPECT_EQ(ask("m1ffe,10"), "0000");
  EXPECT_EQ(ask("m2000,1"), "E0e");
  EXPECT_EQ(ask("M1fff,2:0102"), "E0e");
  EXPECT_EQ(target.memory.back(), 0);
}

TEST_F(Session, AHugeReadIsCutToWhatFitsIntoAReply) {
  EXPECT_EQ(ask("m1000,ffffffff").size(), 2 * target.memory.size());
}

TEST_F(Session, PointsAreInsertedOnceAndRemoved) {
  EXPECT_EQ(ask("Z0,1000,1"), "OK");
  EXPECT_EQ(ask("Z0,1000,1"), "OK");
  EXPECT_EQ(ask("Z1,1004,1"), "OK");
  EXPECT_EQ(ask("Z2,1008,4"), "OK");
  EXPECT_TRUE(target.execution.kept_out().contains(GuestVirtual(0x1000)));
  EXPECT_EQ(target.execution.watches().size(), 1U);
  EXPECT_EQ(ask("z0,1000,1"), "OK");
  EXPECT_EQ(ask("z0,1000,1"), "OK");
  EXPECT_EQ(ask("z1,1004,1"), "OK");
  EXPECT_TRUE(target.execution.has_points());
  EXPECT_EQ(ask("z2,1008,4"), "OK");
  EXPECT_FALSE(target.execution.has_points());
}

TEST_F(Session, PointsAreBounded) {
  std::string reply = "OK";
  uint32_t inserted = 0;
  for (; reply == "OK" && inserted < 100000; ++inserted) {
    std::string request = "Z0,";
    for (int digit = 7; digit >= 0; --digit) {
      request.push_back("0123456789abcdef"[(inserted >> (4 * digit)) & 15]);
    }
    reply = ask(request + ",1");
  }
  EXPECT_EQ(reply, "E02");
  EXPECT_LT(inserted, 2000U);
}

TEST_F(Session, TheGuestGoesOnAndItsStopIsReportedOnce) {
  EXPECT_EQ(ask("vCont?"), "vCont;c;C;s;S");
  EXPECT_EQ(ask("vCont;c"), "(none)");
  EXPECT_TRUE(session.awaits_stop());
  EXPECT_FALSE(target.execution.is_paused());
  EXPECT_EQ(ask("g"), "E10");
  target.execution.pause(StopCause::Breakpoint);
  replies.clear();
  session.report_stop();
  session.report_stop();
  EXPECT_EQ(replies, std::vector<std::string>{"T05thread:1;swbreak:;"});
  EXPECT_EQ(ask("?"), "T05thread:1;swbreak:;");
}

TEST_F(Session, TheByteThreeStopsTheGuest) {
  EXPECT_EQ(ask("c"), "(none)");
  send_raw("\x03");
  EXPECT_TRUE(target.execution.is_paused());
  EXPECT_EQ(replies.back(), "T02thread:1;");
}

TEST_F(Session, AStepMayBeginElsewhere) {
  EXPECT_EQ(ask("s4711"), "(none)");
  EXPECT_EQ(target.guest.eip, 0x4711U);
  EXPECT_TRUE(target.execution.holds_interrupts(GuestVirtual(0x4711)));
  EXPECT_FALSE(target.execution.is_paused());
}

TEST_F(Session, AWatchSaysWhatWasTouched) {
  EXPECT_EQ(ask("Z4,2000,4"), "OK");
  EXPECT_EQ(ask("vCont;c:1"), "(none)");
  target.execution.watcher()->on_data_access(GuestVirtual(0x2003), 1, AccessKind::Read);
  target.execution.after(ExecutionControl::Progress::Executed);
  ASSERT_TRUE(target.execution.stop_if_touched());
  session.report_stop();
  EXPECT_EQ(replies.back(), "T05thread:1;awatch:2000;");
}

TEST_F(Session, TheDescriptionComesInPieces) {
  std::string document;
  std::string part = "m";
  for (int i = 0; part[0] == 'm' && i < 1000; ++i) {
    part = ask("qXfer:features:read:target.xml:" +
               to_hex(std::array<uint8_t, 2>{static_cast<uint8_t>(document.size() >> 8),
                                             static_cast<uint8_t>(document.size())}) +
               ",400");
    document += part.substr(1);
  }
  EXPECT_EQ(document, target_description());
}

TEST_F(Session, ACommandsAnswerGoesToTheConsole) {
  EXPECT_EQ(ask("qRcmd,6869"), "OK");
  ASSERT_EQ(replies.size(), 2U);
  EXPECT_EQ(replies[0], "O" + to_hex(std::string_view("you said hi\n")));
}

TEST_F(Session, AfterDetachingNothingMoreIsHeard) {
  EXPECT_EQ(ask("D"), "OK");
  EXPECT_TRUE(session.is_over());
  EXPECT_EQ(ask("g"), "(none)");
  EXPECT_FALSE(target.has_quit);
}

TEST_F(Session, KillEndsTheMachine) {
  EXPECT_EQ(ask("vKill;1"), "OK");
  EXPECT_TRUE(target.has_quit);
  EXPECT_TRUE(session.is_over());
}

TEST_F(Session, TheEndIsReportedToWhoeverWaits) {
  EXPECT_EQ(ask("c"), "(none)");
  session.report_end(6);
  EXPECT_EQ(replies.back(), "W06");
}

// ---- going backwards ----

TEST_F(Session, WhatDoesNotGoBackSaysSo) {
  EXPECT_EQ(ask("qSupported").find("Reverse"), std::string::npos);
  EXPECT_EQ(ask("bs"), "");
  EXPECT_EQ(ask("bc"), "");
}

TEST_F(Session, AReplayGoesBackAndSaysWhereItHasCome) {
  target.goes_back = true;
  EXPECT_NE(ask("qSupported").find(";ReverseStep+;ReverseContinue+"), std::string::npos);
  EXPECT_EQ(ask("bx"), "");
  EXPECT_EQ(ask("bs1"), "E01");
  EXPECT_EQ(ask("bs"), "(none)");
  target.execution.end_lead({StopCause::Step, {}});
  session.report_stop();
  EXPECT_EQ(replies.back(), "T05thread:1;");
  EXPECT_EQ(ask("bc"), "(none)");
  target.execution.end_lead({StopCause::TapeBegin, {}});
  session.report_stop();
  EXPECT_EQ(replies.back(), "T05thread:1;replaylog:begin;");
  EXPECT_EQ(target.ways, "sc");
}

TEST_F(Session, ACommandThatTravelsIsAnsweredOnArrival) {
  target.goes_back = true;
  target.travels_by_command = true;
  EXPECT_TRUE(ask("qRcmd,676f").starts_with("O"));
  EXPECT_EQ(ask("g"), "E10");
  target.travels_by_command = false;
  session.report_stop();
  EXPECT_EQ(replies.back(), "OK");
}

}  // namespace
}  // namespace ringshift::debug
