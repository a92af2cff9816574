#include "monitor/manager/tiles.h"

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <optional>

#include "devices/host/page_server.h"
#include "monitor/host/exit_codes.h"
#include "monitor/host/time/host_clock.h"
#include "monitor/manager/machines/signal_inlet.h"
#include "monitor/manager/wire.h"

namespace ringshift::manager {
namespace {

using control::JsonValue;
using Object = JsonValue::Object;

constexpr Nanoseconds kSecond = 1'000'000'000;
// Machines are asked for their screens so often while somebody looks, and for so long after.
constexpr Nanoseconds kBetweenLooks = kSecond, kInterest = 8 * kSecond;
// A screen of 1920 by 1200 that no compression makes smaller.
constexpr size_t kMostPicture = size_t{8} << 20;

int fail(const std::string& message, int exit_code) {
  std::fprintf(stderr, "ringshift: %s\n", message.c_str());
  return exit_code;
}

bool parse_where(const std::string& text, PageServerConfig* config) {
  if (text.empty()) return true;
  const size_t colon = text.rfind(':');
  const std::string port = colon == std::string::npos ? text : text.substr(colon + 1);
  if (colon != std::string::npos) config->host = text.substr(0, colon);
  const bool is_address = std::all_of(config->host.begin(), config->host.end(), [](char c) {
    return std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '.';
  });
  const char* const end = port.data() + port.size();
  const auto [stop, failure] = std::from_chars(port.data(), end, config->port);
  return is_address && !config->host.empty() && failure == std::errc() && stop == end;
}

class Tiles {
 public:
  explicit Tiles(const RunFolder& folder) : folder_(folder) {}

  [[nodiscard]] bool open() {
    manager_ = Wire::to(folder_.manager());
    return manager_.is_open() && signals_.open({SIGINT, SIGTERM, SIGHUP});
  }

  std::optional<PageAnswer> answer(const std::string& path, const std::string& nonce) {
    constexpr std::string_view kScreen = "/screen/";
    if (path == "/") return PageAnswer{"text/html; charset=utf-8", tiles_page(nonce)};
    looked_at_ = HostClock::monotonic();
    if (path == "/machines") return PageAnswer{"application/json", list()};
    if (!path.starts_with(kScreen)) return std::nullopt;
    const std::string name = path.substr(kScreen.size());
    if (!is_machine_name(name)) return std::nullopt;
    std::optional<std::string> picture = read_whole(folder_.machine(name).screen(), kMostPicture);
    if (!picture) return std::nullopt;
    return PageAnswer{"image/png", std::move(*picture)};
  }

  // False: it is over.
  bool tick() {
    if (signals_.take() != 0) return false;
    pollfd waiting = manager_.waiting_for();
    (void)poll(&waiting, 1, 0);
    manager_.serve(waiting.revents);
    while (const std::optional<JsonValue> message = manager_.take_message()) take(*message);
    if (!manager_.is_open() || manager_.has_ended()) {
      std::fputs("ringshift: the manager has gone\n", stderr);
      return false;
    }
    const Nanoseconds now = HostClock::monotonic();
    if (is_waiting_ || looked_at_ == 0 || now - looked_at_ > kInterest) return true;
    if (now - asked_at_ < kBetweenLooks) return true;
    asked_at_ = now;
    is_waiting_ = true;
    manager_.say(Object{{"do", "ps"}, {"screens", true}});
    return true;
  }

 private:
  void take(const JsonValue& message) {
    if (message.find("done") == nullptr) {
      coming_.push_back(message);
      return;
    }
    machines_ = std::exchange(coming_, {});
    is_waiting_ = false;
  }

  [[nodiscard]] std::string list() const {
    JsonValue::Array all;
    for (const JsonValue& machine : machines_) {
      const std::string name = text_of(machine, "name");
      const bool has_picture =
          is_machine_name(name) && read_whole(folder_.machine(name).screen(), 1).has_value();
      all.emplace_back(Object{{"name", name},
                              {"state", text_of(machine, "state")},
                              {"end", text_of(machine, "end")},
                              {"picture", has_picture}});
    }
    return JsonValue(std::move(all)).text();
  }

  const RunFolder& folder_;
  Wire manager_;
  SignalInlet signals_;
  std::vector<JsonValue> machines_, coming_;
  bool is_waiting_ = false;
  Nanoseconds looked_at_ = 0, asked_at_ = 0;  // of the host's monotonic clock
};

}  // namespace

int serve_tiles(const RunFolder& folder, const std::string& where) {
  Tiles tiles(folder);
  PageServerConfig config;
  if (!parse_where(where, &config)) {
    return fail("--listen: '" + where + "' is none of PORT, HOST:PORT (of IPv4)", kExitUsage);
  }
  config.answer = [&](const std::string& path, const std::string& nonce) {
    return tiles.answer(path, nonce);
  };
  if (!tiles.open()) {
    return fail("no manager runs at " + folder.path + " (ringshift up begins one)", kExitUsage);
  }
  std::string problem;
  const std::unique_ptr<PageServer> server = PageServer::create(config, &problem);
  if (server == nullptr) return fail("--listen: " + problem, kExitUsage);
  std::printf("the machines are at %s\n", server->where().c_str());
  if (std::fflush(stdout) != 0) return kExitHost;
  server->run([&] { return tiles.tick(); });
  return kExitPowerOff;
}

}  // namespace ringshift::manager
