#include "devices/virtio/virtio_rng.h"

#include <set>

#include "devices/host/host_random.h"
#include "tests/unit/devices/virtio/virtio_test_support.h"

namespace ringshift {
namespace {

TEST(VirtioRng, FillsPiecesInTheirOrder) {
  CountingSource source;
  VirtioRng rng(source);
  VirtioBench bench(rng);
  bench.start(Interface::Modern);
  bench.add(0, 0, {{0x80000, 3, true}, {0x81000, 5, true}});
  bench.notify(0);
  EXPECT_EQ(bench.next_used(0), (Used{0, 8}));
  EXPECT_EQ(bench.memory.bytes[0x80002], 3);
  EXPECT_EQ(bench.memory.bytes[0x81000], 4);
  EXPECT_EQ(bench.memory.bytes[0x81004], 8);
}

TEST(VirtioRng, NoBufferGetsMoreThanAPage) {
  CountingSource source;
  VirtioRng rng(source);
  VirtioBench bench(rng);
  bench.start(Interface::Legacy);
  bench.add(0, 0, {{0x80000, 0x100000, true}});
  bench.notify(0);
  EXPECT_EQ(bench.next_used(0), (Used{0, 4096}));
}

TEST(VirtioRng, ABufferToReadBreaksIt) {
  CountingSource source;
  VirtioRng rng(source);
  VirtioBench bench(rng);
  bench.start(Interface::Modern);
  bench.add(0, 0, {{0x80000, 16, false}, {0x81000, 16, true}});
  bench.notify(0);
  EXPECT_TRUE(bench.needs_reset());
}

TEST(HostRandom, FillsAllOfIt) {
  HostRandom source;
  std::vector<uint8_t> bytes(100'000);
  source.fill(bytes);
  // A value that is absent from the last 10,000 would be one chance in 10^17.
  EXPECT_EQ(std::set<uint8_t>(bytes.end() - 10'000, bytes.end()).size(), 256U);
  source.fill({});
}

}  // namespace
}  // namespace ringshift
