// PacketDump: the frames of a network in a file, as tcpdump and wireshark read them (the classic
// pcap format, microseconds; draft-ietf-opsawg-pcap). Owns: the file. One thread at a time.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>

namespace ringshift {

class PacketDump {
 public:
  // Null with one line in *error.
  [[nodiscard]] static std::unique_ptr<PacketDump> create(const std::string& path,
                                                          std::string* error);
  ~PacketDump();
  PacketDump(const PacketDump&) = delete;
  PacketDump& operator=(const PacketDump&) = delete;

  // A frame's bytes beyond the longest of ours are left out of the file. A file that cannot be
  // written gets no more, which a line says.
  void add(std::span<const uint8_t> frame);
  void flush();
  [[nodiscard]] bool is_whole() const { return !lost_; }

 private:
  PacketDump(std::FILE* file, std::string path) : file_(file), path_(std::move(path)) {}
  void put(uint32_t value, unsigned bytes);
  void note_loss();

  std::FILE* file_;
  std::string path_;
  bool lost_ = false;
};

}  // namespace ringshift
