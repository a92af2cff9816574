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
