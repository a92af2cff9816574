// A server of network block devices that says anything: the disk is opened or refused in one line,
// reads and writes succeed or fail, and nothing is awaited from a server that has gone.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>
#include <vector>

#include "devices/host/nbd_disk.h"
#include "shadowmmu/base/check.h"
#include "tests/fuzz/targets/fuzz_bytes.h"
#include "tests/fuzz/targets/fuzz_target.h"

namespace ringshift::fuzz {
namespace {

constexpr uint64_t kGreeting = 0x4e42444d41474943;    // "NBDMAGIC"
constexpr uint64_t kHaveOption = 0x49484156454f5054;  // "IHAVEOPT"
constexpr uint64_t kOptionReply = 0x0003e889045565a9;
constexpr uint32_t kSimpleReply = 0x67446698, kStructuredReply = 0x668e33ef;

class Message {
 public:
  Message& put(uint64_t value, unsigned bytes) {
    for (unsigned i = bytes; i != 0; --i)
      bytes_.push_back(static_cast<uint8_t>(value >> 8 * (i - 1)));
    return *this;
  }
  Message& put(std::span<const uint8_t> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  [[nodiscard]] std::vector<uint8_t>& bytes() { return bytes_; }

 private:
  std::vector<uint8_t> bytes_;
};

// One connection's other end. It knows enough of the protocol to come far, and does as the input
// says at every step; when the input has ended it hangs up.
class Server {
 public:
  Server(int listener, std::span<const uint8_t> script) : listener_(listener), script_(script) {}

  void serve() {
    connection_ = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection_ < 0) return;
    talk();
    close(connection_);
  }

 private:
  void talk() {
    const uint8_t greeting = script_.u8();
    if (!send(
            Message().put(kGreeting, 8).put(kHaveOption, 8).put(greeting == 0 ? 3 : greeting, 2))) {
      return;
    }
    if (receive(4).size() != 4) return;
    while (!script_.empty() && answer_option()) {
    }
    while (!script_.empty() && answer_request()) {
    }
  }
  // False: the handshake is over.
  bool answer_option() {
    const auto header = receive(16);
    if (header.size() != 16) return false;
    const uint32_t option = number(header, 8);
    const uint32_t length = number(header, 12);
    if (length > 65536 || receive(length).size() != length) return false;
    const uint8_t how = script_.u8();
    if (how >= 0xf0) return send(Message().put(script_.take(how & 15)));
    Message reply;
    if (option == 7 && (how & 0xc0) == 0) {  // GO: what the export is, then acknowledged
      reply.put(kOptionReply, 8).put(option, 4).put(3, 4).put(12, 4);
      reply.put(0, 2).put(export_size(how), 8).put((how & 4) != 0 ? script_.u16() : 0x5, 2);
      if ((how & 8) != 0) {
        reply.put(kOptionReply, 8).put(option, 4).put(3, 4).put(14, 4);
        reply.put(3, 2).put(script_.u32(), 4).put(4096, 4).put(1U << 25, 4);
      }
      reply.put(kOptionReply, 8).put(option, 4).put(1, 4).put(0, 4);
      return send(reply) && false;
    }
    const uint32_t type = (how & 1) != 0 ? 0x80000001U : (how & 2) != 0 ? script_.u32() : 1U;
    const auto data = script_.take(how >> 4 & 7);
    reply.put(kOptionReply, 8).put(option, 4).put(type, 4).put(data.size(), 4).put(data);
    return send(reply);
  }
  [[nodiscard]] uint64_t export_size(uint8_t how) { return (how & 1) != 0 ? script_.u64() : 65536; }
  bool answer_request() {
    const auto header = receive(28);
    if (header.size() != 28) return false;
    const uint8_t command = header[7];
    const uint32_t length = number(header, 24);
    if (command == 1 && receive(length).size() != length) return false;
    const uint8_t how = script_.u8();
    if (how >= 0xf0) return send(Message().put(script_.take(how & 15)));
    const std::span<const uint8_t> handle(header.data() + 8, 8);
    Message reply;
    if ((how & 1) != 0) {
      reply.put(kStructuredReply, 4).put(script_.u16(), 2).put(script_.u16(), 2).put(handle);
      reply.put((how & 2) != 0 ? script_.u32() : 8U, 4).put(script_.take(how >> 4));
      return send(reply);
    }
    reply.put(kSimpleReply, 4).put((how & 2) != 0 ? script_.u32() : 0U, 4);
    if ((how & 4) != 0) {
      reply.put(script_.u64(), 8);
    } else {
      reply.put(handle);
    }
    if (command == 0 && (how & 8) == 0) reply.bytes().resize(reply.bytes().size() + length, 0x5a);
    return send(reply);
  }

  [[nodiscard]] static uint32_t number(const std::vector<uint8_t>& bytes, size_t at) {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; ++i) value = value << 8 | bytes[at + i];
    return value;
  }
  bool send(Message& message) {
    const std::vector<uint8_t>& bytes = message.bytes();
    return ::send(connection_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  bool send(Message&& message) { return send(message); }
  // Fewer bytes: the other end has gone, or has nothing to say, which is waited for shortly.
  [[nodiscard]] std::vector<uint8_t> receive(size_t count) {
    constexpr int kMilliseconds = 50;
    std::vector<uint8_t> bytes(count);
    size_t have = 0;
    while (have < count) {
      pollfd wait{connection_, POLLIN, 0};
      if (poll(&wait, 1, kMilliseconds) <= 0) break;
      const ssize_t got = recv(connection_, bytes.data() + have, count - have, 0);
      if (got <= 0) break;
      have += static_cast<size_t>(got);
    }
    bytes.resize(have);
    return bytes;
  }

  int listener_;
  int connection_ = -1;
  FuzzBytes script_;
};

// A place to connect to, gone at the end.
class Listener {
 public:
  Listener() : path_("/tmp/ringshift-fuzz-nbd-" + std::to_string(getpid())) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    unlink(path_.c_str());
    descriptor_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
    CHECK(listen(descriptor_, 1) == 0);
  }
  ~Listener() {
    close(descriptor_);
    unlink(path_.c_str());
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  [[nodiscard]] int descriptor() const { return descriptor_; }
  [[nodiscard]] std::string uri() const { return "nbd+unix:///?socket=" + path_; }

 private:
  std::string path_;
  int descriptor_ = -1;
};

// As drives do: whole sectors.
void use(DiskBackend& disk, FuzzBytes& bytes) {
  constexpr uint64_t kSector = 512;
  CHECK(disk.bytes() != 0 && disk.bytes() % kSector == 0);
  const uint64_t sectors = disk.bytes() / kSector;
  for (int left = 6; left != 0; --left) {
    const uint8_t what = bytes.u8();
    std::vector<uint8_t> data(std::min<uint64_t>(what >> 2, sectors) * kSector);
    const uint64_t at = bytes.u32() % (sectors - data.size() / kSector + 1) * kSector;
    if ((what & 3) == 0) {
      (void)disk.flush();
    } else if ((what & 3) == 1) {
      (void)disk.write(at, data);
    } else {
      (void)disk.read(at, data);
    }
  }
}

}  // namespace

void fuzz_nbd(std::span<const uint8_t> input) {
  FuzzBytes bytes(input);
  const bool read_only = (bytes.u8() & 1) != 0;
  FuzzBytes uses(bytes.take(24));
  const Listener listener;
  Server server(listener.descriptor(), bytes.rest());
  std::thread other_end([&] { server.serve(); });
  std::string error;
  {
    const auto disk = NbdDisk::open(
        listener.uri(), read_only, 512, [] { return false; }, &error);
    CHECK(disk != nullptr || !error.empty());
    if (disk != nullptr) use(*disk, uses);
  }
  // Nobody came: then it is still waiting in accept.
  shutdown(listener.descriptor(), SHUT_RDWR);
  other_end.join();
}

}  // namespace ringshift::fuzz
