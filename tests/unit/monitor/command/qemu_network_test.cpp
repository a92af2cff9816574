// QEMU's words for networks and their cards, in ours.
#include <gtest/gtest.h>

#include <algorithm>

#include "monitor/command/qemu/spelling.h"

namespace ringshift {
namespace {

using Words = std::vector<std::string>;

SpelledLine spelled(const Words& typed) {
  return spell(typed, [](const std::string&) { return std::optional<bool>(); });
}
// The text of --net; empty: there is no such word.
std::string net_of(const Words& typed) {
  const SpelledLine line = spelled(typed);
  EXPECT_EQ(line.problem, "");
  for (size_t i = 0; i + 1 < line.words.size(); ++i) {
    if (line.words[i] == "--net") return line.words[i + 1];
  }
  return "";
}
std::string problem_of(const Words& typed) { return spelled(typed).problem; }

TEST(QemuNetwork, NoneIsNone) {
  EXPECT_EQ(net_of({"-net", "none"}), "");
  EXPECT_EQ(net_of({"-nic", "none"}), "");
}

TEST(QemuNetwork, ANetworkAndItsCardFindEachOther) {
  EXPECT_EQ(net_of({"-netdev", "user,id=n0,hostfwd=tcp::8080-:80", "-device",
                    "virtio-net-pci,netdev=n0,mac=52:54:00:00:00:01"}),
            "user,hostfwd=tcp::8080-:80,model=virtio,mac=52:54:00:00:00:01");
  EXPECT_EQ(net_of({"-device", "e1000,netdev=n0", "-netdev", "user,id=n0"}), "user,model=e1000");
  EXPECT_EQ(net_of({"-device", "ne2k_pci,netdev=n0", "-netdev", "user,id=n0"}),
            "user,model=ne2k_pci");
  EXPECT_EQ(net_of({"-nic", "user,model=ne2k_pci"}), "user,model=ne2k_pci");
}

TEST(QemuNetwork, TheOldestWayIsAHub) {
  EXPECT_EQ(net_of({"-net", "nic,model=virtio", "-net", "user,restrict=y"}),
            "user,restrict=on,model=virtio");
  EXPECT_EQ(net_of({"-net", "nic", "-net", "user"}), "user,model=e1000");
}

TEST(QemuNetwork, OneWordHasBoth) {
  EXPECT_EQ(net_of({"-nic", "user,model=virtio-net-pci,mac=52:54:00:00:00:01,tftp=/srv,,a"}),
            "user,tftp=/srv,,a,model=virtio,mac=52:54:00:00:00:01");
}

TEST(QemuNetwork, OtherMachinesAreReachedByStreams) {
  EXPECT_EQ(net_of({"-nic", "stream,addr.type=unix,addr.path=/tmp/a,server=on,model=e1000"}),
            "stream,unix=/tmp/a,server=on,model=e1000");
  EXPECT_EQ(net_of({"-nic", "stream,addr.type=inet,addr.host=127.0.0.1,addr.port=4000"}),
            "stream,tcp=127.0.0.1:4000,model=e1000");
  EXPECT_EQ(net_of({"-nic", "socket,listen=:4000"}), "stream,tcp=:4000,server=on,model=e1000");
  EXPECT_EQ(net_of({"-nic", "socket,connect=127.0.0.1:4000"}),
            "stream,tcp=127.0.0.1:4000,model=e1000");
}

TEST(QemuNetwork, FramesAreDumpedByAnObject) {
  const SpelledLine line =
      spelled({"-nic", "user", "-object", "filter-dump,id=f,netdev=n,file=frames"});
  EXPECT_EQ(line.problem, "");
  EXPECT_NE(std::find(line.words.begin(), line.words.end(), "--net-dump"), line.words.end());
}

TEST(QemuNetwork, WhatIsNotThereIsNamed) {
  EXPECT_NE(problem_of({"-nic", "tap"}).find("-nic tap: it takes privileges"), std::string::npos);
  EXPECT_NE(problem_of({"-nic", "user,model=rtl8139"}).find("no network card 'rtl8139'"),
            std::string::npos);
  EXPECT_NE(problem_of({"-nic", "user,smb=/srv"}).find("cannot use 'smb'"), std::string::npos);
  EXPECT_NE(problem_of({"-netdev", "user"}).find("needs id="), std::string::npos);
  EXPECT_NE(problem_of({"-device", "e1000,netdev=n"}).find("needs netdev=ID"), std::string::npos);
  EXPECT_NE(problem_of({"-nic", "user", "-nic", "user"}).find("one network card"),
            std::string::npos);
  EXPECT_NE(problem_of({"-net", "nic"}).find("needs a network"), std::string::npos);
  EXPECT_NE(problem_of({"-net", "user", "-net", "user"}).find("one network"), std::string::npos);
  EXPECT_NE(problem_of({"-netdev", "stream,id=a"}).find("needs addr.path"), std::string::npos);
  EXPECT_NE(problem_of({"-object", "secret,id=r"}).find("filter-dump"), std::string::npos);
  EXPECT_NE(
      problem_of({"-device", "rtl8139,netdev=n"}).find("use virtio-net-pci, e1000 or ne2k_pci"),
      std::string::npos);
}

TEST(QemuNetwork, ANetworkWithoutACardIsReadOver) {
  EXPECT_NE(spelled({"-netdev", "user,id=n"}).note.find("no network card uses it"),
            std::string::npos);
}

}  // namespace
}  // namespace ringshift
