#include "monitor/network/slirp_server.h"

#include <arpa/inet.h>
#include <slirp/libslirp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "monitor/host/time/host_clock.h"

namespace ringshift {
namespace {

constexpr int64_t kMillisecond = 1'000'000;
// Beyond the first, the host's sockets are not read until the guest has taken some; beyond the
// second, frames are lost as on any wire, and the guest's TCP or ours sends them again.
constexpr size_t kEnoughQueued = size_t{256} << 10, kMostQueued = size_t{1} << 20;

in_addr address_of(Ipv4 number) { return {htonl(number)}; }

const char* text_or_null(const std::string& text) { return text.empty() ? nullptr : text.c_str(); }

sockaddr_in socket_address(Ipv4 address, uint16_t port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr = address_of(address);
  at.sin_port = htons(port);
  return at;
}

std::string text_of(Ipv4 address) {
  std::array<char, INET_ADDRSTRLEN> text{};
  const in_addr number = address_of(address);
  return inet_ntop(AF_INET, &number, text.data(), text.size());
}

}  // namespace

struct SlirpServer::Callbacks {
  static SlirpServer& of(void* self) { return *static_cast<SlirpServer*>(self); }
  static ssize_t send_packet(const void* bytes, size_t count, void* self) {
    of(self).queue_frame({static_cast<const uint8_t*>(bytes), count});
    return static_cast<ssize_t>(count);
  }
  // A guest's mistakes are not reported.
  static void guest_error(const char*, void*) {}
  static int64_t clock(void*) { return HostClock::monotonic(); }
  static void* new_timer(SlirpTimerId id, void* of_slirp, void* self) {
    std::list<Timer>& timers = of(self).timers_;
    timers.push_back({id, of_slirp, -1});
    return &timers.back();
  }
  static void free_timer(void* timer, void* self) {
    of(self).timers_.remove_if([timer](const Timer& one) { return &one == timer; });
  }
  static void arm_timer(void* timer, int64_t due, void*) { static_cast<Timer*>(timer)->due = due; }
  static void ignore_descriptor(int, void*) {}  // they are asked for before each wait
  static void ignore_notice(void*) {}           // there is one thread
  static void ignore_completion(Slirp*, void*) {}
  static int add_poll(int descriptor, int events, void* self) {
    return of(self).add_poll(descriptor, events);
  }
  static int events_of(int index, void* self) { return of(self).events_of(index); }
  static const SlirpCb kTable;
};

const SlirpCb SlirpServer::Callbacks::kTable = {.send_packet = send_packet,
                                                .guest_error = guest_error,
                                                .clock_get_ns = clock,
                                                .timer_new = nullptr,
                                                .timer_free = free_timer,
                                                .timer_mod = arm_timer,
                                                .register_poll_fd = ignore_descriptor,
                                                .unregister_poll_fd = ignore_descriptor,
                                                .notify = ignore_notice,
                                                .init_completed = ignore_completion,
                                                .timer_new_opaque = new_timer};

SlirpServer::~SlirpServer() {
  if (slirp_ != nullptr) slirp_cleanup(slirp_);
}

bool SlirpServer::begin(std::string* problem) {
  // The numbers that QEMU's users know.
  constexpr Ipv4 kHost = 2, kNameServer = 3, kFirstGuest = 15;
  constexpr uint8_t kPrefixBits = 64;
  const auto or_default = [this](Ipv4 named, Ipv4 last) {
    return address_of(named != 0 ? named : wanted_.network | last);
  };
  std::vector<const char*> search;
  for (const std::string& domain : wanted_.search) search.push_back(domain.c_str());
  search.push_back(nullptr);
  SlirpConfig config{};
  config.version = 4;
  config.restricted = wanted_.restricted ? 1 : 0;
  config.in_enabled = wanted_.ipv4;
  config.vnetwork = address_of(wanted_.network);
  config.vnetmask = address_of(wanted_.mask);
  config.vhost = or_default(wanted_.host, kHost);
  config.vdhcp_start = or_default(wanted_.dhcp_start, kFirstGuest);
  config.vnameserver = or_default(wanted_.name_server, kNameServer);
  config.in6_enabled = wanted_.ipv6;
  (void)inet_pton(AF_INET6, "fec0::", &config.vprefix_addr6);
  config.vprefix_len = kPrefixBits;
  (void)inet_pton(AF_INET6, "fec0::2", &config.vhost6);
  (void)inet_pton(AF_INET6, "fec0::3", &config.vnameserver6);
  config.vhostname = text_or_null(wanted_.host_name);
  config.vdomainname = text_or_null(wanted_.domain_name);
  config.vdnssearch = wanted_.search.empty() ? nullptr : search.data();
  config.tftp_server_name = text_or_null(wanted_.tftp_server_name);
  config.tftp_path = text_or_null(wanted_.tftp_folder);
  config.bootfile = text_or_null(wanted_.boot_file);
  slirp_ = slirp_new(&config, &Callbacks::kTable, this);
  if (slirp_ == nullptr) {
    *problem = "--net user: libslirp refuses this network";
    return false;
  }
  return std::all_of(wanted_.host_forwards.begin(), wanted_.host_forwards.end(),
                     [&](const HostForward& one) { return add_host_forward(one, problem); }) &&
         std::all_of(wanted_.guest_forwards.begin(), wanted_.guest_forwards.end(),
                     [&](const GuestForward& one) { return add_guest_forward(one, problem); });
}

bool SlirpServer::add_host_forward(const HostForward& forward, std::string* problem) {
  const sockaddr_in host = socket_address(forward.host_address, forward.host_port);
  const sockaddr_in guest = socket_address(forward.guest_address, forward.guest_port);
  const int flags = forward.udp ? SLIRP_HOSTFWD_UDP : 0;
  if (slirp_add_hostxfwd(slirp_, reinterpret_cast<const sockaddr*>(&host), sizeof(host),
                         reinterpret_cast<const sockaddr*>(&guest), sizeof(guest), flags) == 0) {
    return true;
  }
  *problem = "--net user: hostfwd: cannot listen at " + text_of(forward.host_address) + ":" +
             std::to_string(forward.host_port) + ": " + std::strerror(errno);
  return false;
}

bool SlirpServer::add_guest_forward(const GuestForward& forward, std::string* problem) {
  in_addr at = address_of(forward.address);
  if (slirp_add_unix(slirp_, forward.unix_path.c_str(), &at, forward.port) == 0) return true;
  *problem = "--net user: guestfwd: " + text_of(forward.address) + ":" +
             std::to_string(forward.port) + " is no address that is free in the guest's network";
  return false;
}

void SlirpServer::queue_frame(std::span<const uint8_t> frame) {
  if (outgoing_.size() - written_ < kMostQueued) append_frame(frame, &outgoing_);
}

int SlirpServer::add_poll(int descriptor, int events) {
  constexpr int kBands = SLIRP_POLL_PRI;
  const int wanted = ((events & SLIRP_POLL_IN) != 0 ? POLLIN : 0) |
                     ((events & SLIRP_POLL_OUT) != 0 ? POLLOUT : 0) |
                     ((events & kBands) != 0 ? POLLPRI : 0);
  waiting_.push_back({descriptor, static_cast<int16_t>(wanted), 0});
  return static_cast<int>(waiting_.size() - 1);
}

int SlirpServer::events_of(int index) const {
  const int events = waiting_.at(static_cast<size_t>(index)).revents;
  return ((events & POLLIN) != 0 ? SLIRP_POLL_IN : 0) |
         ((events & POLLOUT) != 0 ? SLIRP_POLL_OUT : 0) |
         ((events & POLLPRI) != 0 ? SLIRP_POLL_PRI : 0) |
         ((events & POLLERR) != 0 ? SLIRP_POLL_ERR : 0) |
         ((events & POLLHUP) != 0 ? SLIRP_POLL_HUP : 0);
}

uint32_t SlirpServer::until_next_timer() const {
  constexpr int64_t kLongest = 1000;
  int64_t left = kLongest;
  const int64_t now = HostClock::monotonic() / kMillisecond;
  for (const Timer& timer : timers_) {
    if (timer.due >= 0) left = std::clamp(timer.due - now, int64_t{0}, left);
  }
  return static_cast<uint32_t>(left);
}

void SlirpServer::run_timers() {
  const int64_t now = HostClock::monotonic() / kMillisecond;
  for (Timer& timer : timers_) {
    if (timer.due < 0 || timer.due > now) continue;
    timer.due = -1;
    slirp_handle_timer(slirp_, static_cast<SlirpTimerId>(timer.id), timer.of_slirp);
  }
}

bool SlirpServer::read_frames() {
  constexpr size_t kAtOnce = size_t{128} << 10;
  static std::array<uint8_t, kAtOnce> bytes;
  const ssize_t count = recv(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (count < 0) return errno == EAGAIN || errno == EINTR;
  return count > 0 &&
         reader_.add(std::span(bytes).first(static_cast<size_t>(count)),
                     [this](std::span<const uint8_t> frame) {
                       if (frame.size() < kLeastFrame || frame.size() > kMostLargeFrame) return;
                       slirp_input(slirp_, frame.data(), static_cast<int>(frame.size()));
                     });
}

bool SlirpServer::write_frames() {
  while (written_ < outgoing_.size()) {
    const ssize_t count = send(socket_, outgoing_.data() + written_, outgoing_.size() - written_,
                               MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0) {
      if (errno != EAGAIN && errno != EINTR) return false;
      // Removing the sent bytes makes room, at a cost that does not grow with the number of tries.
      if (written_ < kEnoughQueued) return true;
      break;
    }
    written_ += static_cast<size_t>(count);
  }
  outgoing_.erase(outgoing_.begin(), outgoing_.begin() + static_cast<ptrdiff_t>(written_));
  written_ = 0;
  return true;
}

void SlirpServer::run() {
  while (true) {
    waiting_.clear();
    const bool is_behind = written_ < outgoing_.size();
    const bool serves_host = outgoing_.size() - written_ < kEnoughQueued;
    waiting_.push_back({socket_, static_cast<int16_t>(POLLIN | (is_behind ? POLLOUT : 0)), 0});
    uint32_t timeout = until_next_timer();
    if (serves_host) slirp_pollfds_fill(slirp_, &timeout, Callbacks::add_poll, this);
    const int found = poll(waiting_.data(), waiting_.size(), static_cast<int>(timeout));
    if (found < 0) {
      for (pollfd& one : waiting_) one.revents = 0;
    }
    if (serves_host) slirp_pollfds_poll(slirp_, found < 0 ? 1 : 0, Callbacks::events_of, this);
    if ((waiting_[0].revents & ~POLLOUT) != 0 && !read_frames()) return;
    run_timers();
    if (!write_frames()) return;
  }
}

}  // namespace ringshift
