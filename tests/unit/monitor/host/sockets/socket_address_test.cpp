// SocketAddress: the words of --gdb.
#include "monitor/host/sockets/socket_address.h"

#include <gtest/gtest.h>

namespace ringshift {
namespace {

TEST(SocketAddress, TcpIsLoopbackUnlessSaidOtherwise) {
  SocketAddress address;
  ASSERT_TRUE(parse_socket_address("tcp=:1234", &address));
  EXPECT_EQ(address.kind, SocketAddress::Kind::Tcp);
  EXPECT_EQ(address.host, "127.0.0.1");
  EXPECT_EQ(address.port, 1234);
  ASSERT_TRUE(parse_socket_address("tcp:0.0.0.0:0", &address));
  EXPECT_EQ(address.host, "0.0.0.0");
  EXPECT_EQ(address.port, 0);
  ASSERT_TRUE(parse_socket_address("tcp=localhost:1", &address));
  EXPECT_EQ(address.host, "127.0.0.1");
}

TEST(SocketAddress, UnixIsAPath) {
  SocketAddress address;
  ASSERT_TRUE(parse_socket_address("unix=/run/x:y", &address));
  EXPECT_EQ(address.kind, SocketAddress::Kind::Unix);
  EXPECT_EQ(address.path, "/run/x:y");
}

TEST(SocketAddress, DatagramsGoToOneAndComeToAnother) {
  SocketAddress address;
  ASSERT_TRUE(parse_datagram_address("udp:192.0.2.1:7@127.0.0.1:8", &address));
  EXPECT_EQ(address.kind, SocketAddress::Kind::Udp);
  EXPECT_EQ(address.host, "192.0.2.1");
  EXPECT_EQ(address.port, 7);
  EXPECT_EQ(address.own_host, "127.0.0.1");
  EXPECT_EQ(address.own_port, 8);
  ASSERT_TRUE(parse_datagram_address("udp::9", &(address = {})));
  EXPECT_EQ(address.host, "127.0.0.1");
  EXPECT_EQ(address.own_port, 0);
  for (const std::string text : {"udp", "udp:", "udp:9", "udp::0", "udp::9@", "udp::9@8", "tcp::9",
                                 "udp:a.b:9", "udp::9@x:8"}) {
    EXPECT_FALSE(parse_datagram_address(text, &address)) << text;
  }
}

TEST(SocketAddress, WhatMakesNoSenseIsRefused) {
  SocketAddress address;
  for (const std::string text : {"", "tcp", "tcp=", "tcp=1234", "tcp=:", "tcp=:65536", "tcp=:12x",
                                 "tcp=some.host:1", "unix=", "udp=:1", ":1234"}) {
    EXPECT_FALSE(parse_socket_address(text, &address)) << text;
  }
  EXPECT_FALSE(parse_socket_address("unix=" + std::string(108, 'p'), &address));
}

}  // namespace
}  // namespace ringshift
