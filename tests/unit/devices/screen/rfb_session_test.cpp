#include "devices/screen/rfb/rfb_session.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/support/rfb_decoder.h"

namespace ringshift::rfb {
namespace {

using Bytes = std::vector<uint8_t>;

Picture picture_of(uint16_t width, uint16_t height, uint32_t color) {
  return {width, height, std::vector<uint32_t>(size_t{width} * height, color)};
}

class Rfb : public ::testing::Test {
 protected:
  SessionConfig config() {
    SessionConfig config;
    config.name = "a screen";
    config.password = password_;
    for (size_t i = 0; i < config.challenge.size(); ++i) {
      config.challenge[i] = static_cast<uint8_t>(17 * i);
    }
    config.on_keys = [this](const Bytes& codes, KeyTranslator::Change) {
      keys_.insert(keys_.end(), codes.begin(), codes.end());
      return true;
    };
    config.on_motion = [this](const MouseMotion& motion) { motions_.push_back(motion); };
    return config;
  }
  void begin() { session_ = std::make_unique<Session>(config()); }
  void send(const Bytes& bytes) { session_->receive(bytes); }
  void send(const std::string& text) { send(Bytes(text.begin(), text.end())); }
  Bytes received() { return std::exchange(session_->output(), {}); }
  std::string received_text() {
    const Bytes bytes = received();
    return {bytes.begin(), bytes.end()};
  }
  // Through the handshake of 3.8 without a password; the screen is `picture`.
  void connect(const Picture& picture) {
    begin();
    (void)received();
    send("RFB 003.008\n");
    send(Bytes{1});
    send(Bytes{1});
    (void)received();
    ASSERT_TRUE(session_->waits_for_screen());
    session_->update(picture);
    ASSERT_EQ(received().size(), 24U + 8U);
    ASSERT_TRUE(session_->is_running());
  }
  void choose(const std::vector<int32_t>& encodings) {
    Bytes bytes{2, 0};
    append_u16(static_cast<uint32_t>(encodings.size()), &bytes);
    for (const int32_t encoding : encodings) append_u32(static_cast<uint32_t>(encoding), &bytes);
    send(bytes);
  }
  void request(bool incremental, const Rectangle& area) {
    Bytes bytes{3, incremental ? uint8_t{1} : uint8_t{0}};
    for (const uint32_t value : {area.x, area.y, area.width, area.height}) {
      append_u16(value, &bytes);
    }
    send(bytes);
  }
  Bytes update(const Picture& picture) {
    if (session_->waits_for_screen()) session_->update(picture);
    return received();
  }

  std::string password_;
  std::unique_ptr<Session> session_;
  Bytes keys_;
  std::vector<MouseMotion> motions_;
};

TEST_F(Rfb, HandshakesOfThreeVersions) {
  begin();
  EXPECT_EQ(received_text(), "RFB 003.008\n");
  send("RFB 003.008\n");
  EXPECT_EQ(received(), (Bytes{1, 1}));
  send(Bytes{1});
  EXPECT_EQ(received(), (Bytes{0, 0, 0, 0}));
  send(Bytes{0});
  session_->update(picture_of(640, 400, 0));
  const Bytes initialization = received();
  EXPECT_EQ(Bytes(initialization.begin(), initialization.begin() + 4), (Bytes{2, 128, 1, 144}));

  begin();
  (void)received();
  send("RFB 003.007\n");
  EXPECT_EQ(received(), (Bytes{1, 1}));
  send(Bytes{1, 1});
  EXPECT_EQ(received(), Bytes());  // no result of security there
  EXPECT_TRUE(session_->waits_for_screen());

  for (const char* old : {"RFB 003.003\n", "RFB 003.005\n"}) {
    begin();
    (void)received();
    send(old);
    EXPECT_EQ(received(), (Bytes{0, 0, 0, 1}));
    send(Bytes{1});
    EXPECT_TRUE(session_->waits_for_screen());
  }
}

// The answer as openssl's DES in ECB mode makes it of the challenge, with the reversed password.
TEST_F(Rfb, APasswordIsAskedFor) {
  password_ = "geheim";
  for (const bool right : {true, false}) {
    begin();
    (void)received();
    send("RFB 003.008\n");
    EXPECT_EQ(received(), (Bytes{1, 2}));
    send(Bytes{2});
    const Bytes challenge = received();
    ASSERT_EQ(challenge.size(), kChallengeBytes);
    const auto answer =
        answer_to(std::span(challenge).first<kChallengeBytes>(), right ? "geheim" : "Geheim");
    send(Bytes(answer.begin(), answer.end()));
    EXPECT_EQ(session_->failed_to_authenticate(), !right);
    EXPECT_EQ(session_->is_over(), !right);
    const Bytes result = received();
    EXPECT_EQ(result[3], right ? 0 : 1);
    EXPECT_EQ(result.size() > 8, !right);  // with a reason
  }
}

TEST_F(Rfb, NoPasswordIsNoChoice) {
  password_ = "geheim";
  begin();
  send("RFB 003.008\n");
  send(Bytes{1});  // none
  EXPECT_TRUE(session_->is_over());
  EXPECT_FALSE(session_->is_running());
}

// DES of FIPS 46-3: key 133457799bbcdff1 makes 85e813540f0ab405 of 0123456789abcdef. The key here
// is that one with the bits of each byte reversed.
TEST(RfbPassword, TheAnswerIsDesOfTheChallenge) {
  const std::string password = "\xc8\x2c\xea\x9e\xd9\x3d\xfb\x8f";
  const std::array<uint8_t, kChallengeBytes> challenge{0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
                                                       0xcd, 0xef, 0x01, 0x23, 0x45, 0x67,
                                                       0x89, 0xab, 0xcd, 0xef};
  const std::array<uint8_t, kChallengeBytes> expected{0x85, 0xe8, 0x13, 0x54, 0x0f, 0x0a,
                                                      0xb4, 0x05, 0x85, 0xe8, 0x13, 0x54,
                                                      0x0f, 0x0a, 0xb4, 0x05};
  EXPECT_EQ(answer_to(challenge, password), expected);
}

// A client of each encoding sees the same picture, of few colours and of many.
TEST_F(Rfb, EveryEncodingShowsThePicture) {
  std::mt19937 random(20261129);
  for (const int32_t encoding : {0, 5, 6, 7}) {
    for (const uint32_t colors : {1U, 2U, 5U, 200U, 70000U}) {
      Picture picture = picture_of(211, 77, 0);
      connect(picture);
      choose({encoding});
      Decoder client(picture.width, picture.height);
      for (int round = 0; round < 3; ++round) {
        for (uint32_t& pixel : picture.pixels) pixel = random() % colors * 0x30201 & 0xffffff;
        session_->note_all_changed();
        request(true, {0, 0, picture.width, picture.height});
        client.update(update(picture));
        EXPECT_EQ(client.picture().pixels, picture.pixels) << encoding << ", " << colors;
      }
    }
  }
}

TEST_F(Rfb, TightRectanglesAreBounded) {
  std::mt19937 random(1);
  Picture picture = picture_of(2500, 700, 0);
  for (uint32_t& pixel : picture.pixels) pixel = random() & 0xffffff;
  connect(picture);
  choose({7});
  request(false, {0, 0, picture.width, picture.height});
  Decoder client(picture.width, picture.height);
  client.update(update(picture));
  EXPECT_EQ(client.picture().pixels, picture.pixels);
  EXPECT_GT(client.encodings().size(), 2U);
}

TEST_F(Rfb, OnlyWhatHasChangedIsSent) {
  Picture picture = picture_of(640, 400, 7);
  connect(picture);
  request(true, {0, 0, 640, 400});
  EXPECT_EQ(update(picture).size(), 4 + 12 + 640U * 400 * 4);  // all of it once
  request(true, {0, 0, 640, 400});
  EXPECT_EQ(update(picture), Bytes());
  EXPECT_TRUE(session_->waits_for_screen());
  picture.pixels[size_t{100} * 640 + 100] = 9;
  session_->note_change(100 / Session::kTile, 100 / Session::kTile);
  EXPECT_EQ(update(picture).size(), 4 + 12 + 32U * 32 * 4);
  EXPECT_FALSE(session_->waits_for_screen());
  // An area that is asked for again is sent again.
  request(false, {0, 0, 16, 16});
  EXPECT_EQ(update(picture).size(), 4 + 12 + 16U * 16 * 4);
}

TEST_F(Rfb, AClientThatDoesNotReadIsSentNothingMore) {
  const Picture picture = picture_of(64, 64, 7);
  connect(picture);
  for (int i = 0; i < 1000; ++i) {
    request(false, {0, 0, 64, 64});
    if (session_->waits_for_screen()) session_->update(picture);
  }
  EXPECT_LE(session_->output().size(), 20'000U);
}

TEST_F(Rfb, ANewSizeIsToldToThoseWhoCan) {
  connect(picture_of(640, 400, 1));
  choose({7, kDesktopSize});
  Decoder client(640, 400);
  request(false, {0, 0, 640, 400});
  client.update(update(picture_of(640, 400, 1)));
  const Picture larger = picture_of(800, 600, 5);
  session_->note_all_changed();
  request(true, {0, 0, 640, 400});
  client.update(update(larger));
  EXPECT_EQ(client.encodings().back(), kDesktopSize);
  request(true, {0, 0, 800, 600});
  client.update(update(larger));
  EXPECT_EQ(client.picture().pixels, larger.pixels);
}

TEST_F(Rfb, OthersSeeTheirPartOfIt) {
  connect(picture_of(640, 400, 1));
  Decoder client(640, 400);
  request(false, {0, 0, 640, 400});
  client.update(update(picture_of(640, 400, 1)));
  session_->note_all_changed();
  request(true, {0, 0, 640, 400});
  client.update(update(picture_of(320, 500, 5)));
  EXPECT_EQ(client.picture().pixels[0], 5U);
  EXPECT_EQ(client.picture().pixels[319], 5U);
  EXPECT_EQ(client.picture().pixels[320], 0U);
}

TEST_F(Rfb, PixelFormatsAreTheClients) {
  connect(picture_of(1, 1, 0));
  const auto ask = [this](const Bytes& format, uint32_t color) {
    Bytes bytes{0, 0, 0, 0};
    bytes.insert(bytes.end(), format.begin(), format.end());
    send(bytes);
    request(false, {0, 0, 1, 1});
    const Bytes all = update(picture_of(1, 1, color));
    return Bytes(all.begin() + 16, all.end());
  };
  const Bytes rgb565{16, 16, 0, 1, 0, 31, 0, 63, 0, 31, 11, 5, 0, 0, 0, 0};
  EXPECT_EQ(ask(rgb565, 0xff8000), (Bytes{0x00, 0xfc}));
  const Bytes big_endian{32, 24, 1, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0};
  EXPECT_EQ(ask(big_endian, 0x123456), (Bytes{0, 0x12, 0x34, 0x56}));
  const Bytes color_map{8, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  const Bytes mapped = ask(color_map, 0xff00ff);
  EXPECT_EQ(mapped.size(), 6 + 256 * 6 + 1U);  // the map comes first
  EXPECT_EQ(mapped.back(), 0xe3);
  send(Bytes{0, 0, 0, 0, 24, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0});
  EXPECT_TRUE(session_->is_over());
}

TEST_F(Rfb, KeysComeBySymbolAndByScanCode) {
  connect(picture_of(64, 64, 0));
  send(Bytes{4, 1, 0, 0, 0, 0, 0, 'A'});
  EXPECT_EQ(keys_, (Bytes{0x12, 0x1c, 0xf0, 0x12}));
  keys_.clear();
  send(Bytes{4, 0, 0, 0, 0, 0, 0, 'A'});
  EXPECT_EQ(keys_, (Bytes{0xf0, 0x1c}));
  keys_.clear();
  choose({0, kScanCodes});
  request(true, {0, 0, 64, 64});
  Decoder client(64, 64);
  client.update(update(picture_of(64, 64, 0)));
  EXPECT_EQ(client.encodings()[0], kScanCodes);
  send(Bytes{255, 0, 0, 1, 0, 0, 0, 'q', 0, 0, 0, 0x1e});  // the key where a US keyboard has an a
  EXPECT_EQ(keys_, (Bytes{0x1c}));
  keys_.clear();
  session_->leave();
  EXPECT_EQ(keys_, (Bytes{0xf0, 0x1c}));
}

TEST_F(Rfb, ThePointerMoves) {
  connect(picture_of(64, 64, 0));
  send(Bytes{5, 0, 0, 10, 0, 10});
  send(Bytes{5, 1, 0, 15, 0, 8});
  send(Bytes{5, 4 | 16, 0, 15, 0, 8});
  ASSERT_EQ(motions_.size(), 3U);
  EXPECT_EQ(motions_[0].right, 0);
  EXPECT_EQ(motions_[1].right, 5);
  EXPECT_EQ(motions_[1].up, 2);
  EXPECT_EQ(motions_[1].buttons, 1);
  EXPECT_EQ(motions_[2].buttons, 2);
  EXPECT_EQ(motions_[2].wheel, 1);
  motions_.clear();
  choose({0, kRelativePointer});
  request(true, {0, 0, 64, 64});
  (void)update(picture_of(64, 64, 0));
  send(Bytes{5, 0, 0x7f, 0xfc, 0x80, 0x01});
  ASSERT_EQ(motions_.size(), 1U);
  EXPECT_EQ(motions_[0].right, -3);
  EXPECT_EQ(motions_[0].up, -2);
}

TEST_F(Rfb, WhatIsNoMessageEndsTheSession) {
  for (const Bytes& bad : {Bytes{7}, Bytes{200}, Bytes{255, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
                           Bytes{6, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}}) {
    connect(picture_of(64, 64, 0));
    send(bad);
    EXPECT_TRUE(session_->is_over());
  }
  for (const char* bad : {"RFB 003,008\n", "GET / HTTP/1", "RFB 003.00x\n"}) {
    begin();
    send(bad);
    EXPECT_TRUE(session_->is_over());
  }
}

TEST_F(Rfb, MessagesMayComeByteByByte) {
  connect(picture_of(64, 64, 0));
  const Bytes all{2, 0, 0, 2, 0, 0, 0,    5,    0,   0,   0,   0,  // encodings
                  6, 0, 0, 0, 0, 0, 0,    3,    'x', 'y', 'z',     // a text
                  4, 1, 0, 0, 0, 0, 0xff, 0x0d,                    // return
                  3, 1, 0, 0, 0, 0, 0,    64,   0,   64};          // a request
  for (const uint8_t byte : all) send(Bytes{byte});
  EXPECT_EQ(keys_, (Bytes{0x5a}));
  EXPECT_TRUE(session_->waits_for_screen());
  Decoder client(64, 64);
  client.update(update(picture_of(64, 64, 3)));
  EXPECT_EQ(client.encodings()[0], 5);
}

}  // namespace
}  // namespace ringshift::rfb
