// NbdDisk: an export of a server of the network block device protocol, as a medium. So an image in
// any format that a server knows can be a disk: qcow2 by qemu-nbd. Owns: the connection. A server
// that fails, lies, trickles or falls silent makes every later request fail; the guest is told so
// and nothing waits for ever, or once the run is to end. The only home of libnbd. See
// docs/usage.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "devices/storage/disk_backend.h"

struct nbd_handle;

namespace ringshift {

class NbdDisk final : public DiskBackend {
 public:
  // nbd://HOST[:PORT][/EXPORT], nbd+unix:///EXPORT?socket=PATH, and these with nbds for TLS.
  [[nodiscard]] static bool is_uri(const std::string& text);
  // Any thread: nobody wants the answer any more. Asked often while a server is waited for.
  using IsUnwanted = std::function<bool()>;
  // Null with one line in *error: nobody answers, the export does not fit a disk, or it may not be
  // written. unit: the size is cut to a multiple of it. name: the disk's name in messages; empty:
  // the URI.
  static std::unique_ptr<NbdDisk> open(const std::string& uri, bool read_only, uint32_t unit,
                                       IsUnwanted is_unwanted, std::string* error,
                                       const std::string& name = "");
  ~NbdDisk() override;
  NbdDisk(const NbdDisk&) = delete;
  NbdDisk& operator=(const NbdDisk&) = delete;

  [[nodiscard]] uint64_t bytes() const override { return bytes_; }
  [[nodiscard]] DiskTraffic traffic() const override { return traffic_; }
  [[nodiscard]] bool read_only() const override { return read_only_; }
  [[nodiscard]] bool read(uint64_t offset, std::span<uint8_t> to) override;
  [[nodiscard]] bool write(uint64_t offset, std::span<const uint8_t> from) override;
  [[nodiscard]] bool flush() override;
  // True if the server offers it.
  [[nodiscard]] bool can_discard() const override { return can_trim_; }
  [[nodiscard]] bool discard(uint64_t offset, uint64_t count) override;
  [[nodiscard]] bool write_zeroes(uint64_t offset, uint64_t count, Zeroing how) override;

 private:
  NbdDisk(std::string uri, std::string name, IsUnwanted is_unwanted)
      : uri_(std::move(uri)), name_(std::move(name)), is_unwanted_(std::move(is_unwanted)) {}
  [[nodiscard]] bool connect(std::string* error);
  [[nodiscard]] bool examine(uint32_t unit, std::string* error);
  // Waits for a request of libnbd's; negative: it could not be begun.
  [[nodiscard]] bool finish(int64_t cookie);
  bool give_up(const std::string& why);

  std::string uri_;
  std::string name_;
  IsUnwanted is_unwanted_;
  nbd_handle* handle_ = nullptr;
  bool read_only_ = false;
  bool can_trim_ = false;
  bool can_zero_ = false;
  bool lost_ = false;
  uint64_t bytes_ = 0;
  DiskTraffic traffic_;
};

}  // namespace ringshift
