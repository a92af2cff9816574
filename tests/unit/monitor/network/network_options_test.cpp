// --net, from its text to a request or to a line that says why not.
#include "monitor/command/options/network_options.h"

#include <gtest/gtest.h>

namespace ringshift {
namespace {

NetworkRequest parsed(const std::string& text) {
  NetworkRequest request;
  std::string problem;
  EXPECT_TRUE(parse_network(text, &request, &problem)) << problem;
  return request;
}

std::string problem_of(const std::string& text) {
  NetworkRequest request;
  std::string problem;
  EXPECT_FALSE(parse_network(text, &request, &problem)) << text;
  EXPECT_EQ(problem.find('\n'), std::string::npos);
  return problem;
}

TEST(NetworkOptions, NoneIsNone) { EXPECT_EQ(parsed("none").kind, NetworkRequest::Kind::None); }

TEST(NetworkOptions, AUserNetworkHasDefaults) {
  const NetworkRequest request = parsed("user");
  EXPECT_EQ(request.kind, NetworkRequest::Kind::User);
  EXPECT_EQ(request.card, NetworkCard::Virtio);
  EXPECT_EQ(request.user.network, 0x0a000200U);
  EXPECT_TRUE(request.user.host_forwards.empty());
}

TEST(NetworkOptions, ItemsAreTaken) {
  const NetworkRequest request = parsed(
      "user,model=e1000,mac=52:54:00:00:00:0a,net=192.168.5.0/24,host=192.168.5.1,"
      "dhcpstart=192.168.5.9,dns=192.168.5.3,restrict=on,hostname=guest,tftp=/srv,bootfile=/a,,b,"
      "hostfwd=tcp::8080-:80,hostfwd=udp:127.0.0.1:53-192.168.5.9:5353,"
      "guestfwd=tcp:192.168.5.4:7-unix:/run/echo");
  EXPECT_EQ(request.card, NetworkCard::E1000);
  EXPECT_EQ(request.address, (MacAddress{0x52, 0x54, 0, 0, 0, 0x0a}));
  const UserNetwork& user = request.user;
  EXPECT_EQ(user.network, 0xc0a80500U);
  EXPECT_EQ(user.mask, 0xffffff00U);
  EXPECT_EQ(user.host, 0xc0a80501U);
  EXPECT_TRUE(user.restricted);
  EXPECT_EQ(user.boot_file, "/a,b");
  ASSERT_EQ(user.host_forwards.size(), 2U);
  EXPECT_EQ(user.host_forwards[0].host_port, 8080);
  EXPECT_EQ(user.host_forwards[0].guest_port, 80);
  EXPECT_TRUE(user.host_forwards[1].udp);
  EXPECT_EQ(user.host_forwards[1].host_address, 0x7f000001U);
  EXPECT_EQ(user.host_forwards[1].guest_address, 0xc0a80509U);
  ASSERT_EQ(user.guest_forwards.size(), 1U);
  EXPECT_EQ(user.guest_forwards[0].unix_path, "/run/echo");
}

TEST(NetworkOptions, FramesOfNoNetworkAreNotDumped) {
  NetworkRequest request;
  request.dump_path = "frames";
  std::string problem;
  EXPECT_FALSE(parse_network("none", &request, &problem));
  EXPECT_TRUE(parse_network("user", &request, &problem));
}

TEST(NetworkOptions, AStreamIsOfOneKind) {
  EXPECT_TRUE(parsed("stream,unix=/tmp/a,server=on").peer.listens);
  EXPECT_EQ(parsed("stream,tcp=:4000").peer.port, 4000);
  EXPECT_EQ(parsed("stream,tcp=192.0.2.1:4000").peer.host, 0xc0000201U);
  problem_of("stream");
  problem_of("stream,unix=/tmp/a,tcp=:4000");
  problem_of("stream,tcp=host.name:4000");
  problem_of("stream,hostfwd=tcp::1-:1");
}

TEST(NetworkOptions, WhatMakesNoSenseIsNamed) {
  for (const char* item : {"hostfwd=",
                           "hostfwd=tcp",
                           "hostfwd=tcp::80",
                           "hostfwd=tcp::80-80",
                           "hostfwd=sctp::1-:1",
                           "hostfwd=tcp::65536-:1",
                           "hostfwd=tcp::0-:1",
                           "hostfwd=tcp:1.2.3:1-:1",
                           "mac=1",
                           "net=",
                           "mac=03:00:00:00:00:00",
                           "net=10.0.2.0/31",
                           "net=10.0.2.0/255.0.255.0",
                           "restrict=maybe",
                           "guestfwd=tcp:10.0.2.4:1-cmd:/bin/cat",
                           "guestfwd=tcp:10.0.2.4-unix:/a",
                           "model=rtl8139",
                           "hostname=",
                           "smb=/",
                           "server=on",
                           "tftp="}) {
    EXPECT_NE(problem_of(std::string("user,") + item).find(std::string("'") + item + "'"),
              std::string::npos)
        << item;
  }
  EXPECT_NE(problem_of("user,host=10.0.3.2").find("within net"), std::string::npos);
  problem_of("tap");
  problem_of("");
  problem_of("none,mac=52:54:00:00:00:00");
}

}  // namespace
}  // namespace ringshift
