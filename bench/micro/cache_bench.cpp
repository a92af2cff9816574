// The translation cache, full of a real program's blocks: finding one, linking and unlinking.
#include <algorithm>
#include <random>
#include <utility>

#include "bench/micro/code_stream.h"
#include "bench/micro/cycles.h"

namespace ringshift {
namespace {

constexpr size_t kBlocks = 10000;

// The first blocks of the program, translated, none linked.
class FullCache {
 public:
  FullCache() : stream_(AccessStyle::Window) {
    stream_.blocks.resize(std::min(stream_.blocks.size(), kBlocks));
    for (const TranslationKey& key : stream_.blocks) {
      static_cast<void>(stream_.machine.translator->find_or_make(key, SafePointForTest::get()));
    }
  }
  [[nodiscard]] TranslationCache& cache() { return stream_.machine.translator->cache(); }
  [[nodiscard]] const std::vector<TranslationKey>& keys() const { return stream_.blocks; }

  // Every link whose destination is there too.
  [[nodiscard]] std::vector<std::pair<uint32_t, Fragment*>> links() {
    std::vector<std::pair<uint32_t, Fragment*>> found;
    cache().for_each([&](const Fragment& from) {
      for (uint32_t i = 0; i < from.link_count; ++i) {
        const uint32_t number = from.first_link + i;
        const Eip eip = cache().link_view(number).destination_eip;
        if (Fragment* to = cache().find(stream_.machine.key_at(eip.value())))
          found.emplace_back(number, to);
      }
    });
    return found;
  }

 private:
  CodeStream stream_;
};

void find_all(benchmark::State& state, FullCache& full, std::vector<TranslationKey> keys) {
  std::shuffle(keys.begin(), keys.end(), std::mt19937(1));
  Cycles cycles;
  uint64_t done = 0;
  for (auto _ : state) {
    cycles.start();
    for (const TranslationKey& key : keys) benchmark::DoNotOptimize(full.cache().find(key));
    cycles.stop();
    done += keys.size();
  }
  cycles.report(state, "cycles/find", done);
  state.SetItemsProcessed(static_cast<int64_t>(done));
}

void FindHit(benchmark::State& state) {
  FullCache full;
  find_all(state, full, full.keys());
}
BENCHMARK(FindHit)->Unit(benchmark::kMicrosecond);

void FindMiss(benchmark::State& state) {
  FullCache full;
  std::vector<TranslationKey> keys = full.keys();
  for (TranslationKey& key : keys) key.privilege = Privilege::User;
  find_all(state, full, std::move(keys));
}
BENCHMARK(FindMiss)->Unit(benchmark::kMicrosecond);

void LinkAndUnlink(benchmark::State& state) {
  FullCache full;
  const auto links = full.links();
  Cycles linking;
  Cycles unlinking;
  uint64_t done = 0;
  for (auto _ : state) {
    linking.start();
    for (const auto& [number, to] : links) full.cache().link(number, *to, SafePointForTest::get());
    linking.stop();
    unlinking.start();
    full.cache().unlink_all(SafePointForTest::get());
    unlinking.stop();
    done += links.size();
  }
  linking.report(state, "cycles/link", done);
  unlinking.report(state, "cycles/unlink", done);
  state.SetItemsProcessed(static_cast<int64_t>(done));
}
BENCHMARK(LinkAndUnlink)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace ringshift
