// Census image: the code of a file: where its 32-bit code lies, and where it begins. Owns: the
// file's bytes. Knows ELF (sections or segments that are executable), Linux bzImage (the kernel
// packed in it) and Multiboot. Files are hostile input: a problem is one line. See docs/lab.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ringshift::lab {

struct ImageRange {
  uint32_t address = 0;  // linear, as linked
  std::vector<uint8_t> bytes;
  std::string name;  // ".text"; of a segment its address
};

class CensusImage final {
 public:
  static std::unique_ptr<CensusImage> open(const std::string& path, std::string* error);

  [[nodiscard]] const std::string& kind() const { return kind_; }
  [[nodiscard]] const std::string& remark() const { return remark_; }  // gaps of the census
  [[nodiscard]] bool can_boot() const { return can_boot_; }
  [[nodiscard]] uint32_t entry() const { return entry_; }
  [[nodiscard]] const std::vector<ImageRange>& code() const { return code_; }
  // Bytes that are no code and may hold addresses of code.
  [[nodiscard]] const std::vector<ImageRange>& data() const { return data_; }

  // Kernels begin at physical addresses and are linked to linear ones.
  [[nodiscard]] uint32_t linked(uint32_t address) const;
  // The bytes from the address to the end of its range; empty if it is in none.
  [[nodiscard]] std::span<const uint8_t> code_at(uint32_t linked_address) const;

 private:
  struct Alias {
    uint32_t physical = 0, linear = 0, bytes = 0;
  };

  CensusImage() = default;
  [[nodiscard]] std::string read(const std::string& path);
  [[nodiscard]] std::string read_elf(std::span<const uint8_t> file);
  [[nodiscard]] std::string read_segments(std::span<const uint8_t> file);
  [[nodiscard]] std::string read_linux(std::span<const uint8_t> file);
  [[nodiscard]] bool add_range(std::span<const uint8_t> file, uint64_t offset, uint64_t length,
                               uint32_t address, std::vector<ImageRange>* out,
                               std::string name = {});

  std::string kind_, remark_;
  bool can_boot_ = false;
  uint32_t entry_ = 0;
  uint64_t copied_ = 0;
  std::vector<ImageRange> code_, data_;
  std::vector<Alias> aliases_;
};

}  // namespace ringshift::lab
