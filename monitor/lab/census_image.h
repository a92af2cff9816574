// Census image: the code of a file: where its 32-bit code lies, and where it begins.
// Owns: the file's bytes. Knows ELF (sections or segments that are executable), Linux bzImage and
// Multiboot. Called by: census. Files are hostile input: a problem is one line.
// See docs/lab.md.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "translator/code_source.h"

namespace ringshift::lab {

struct CodeRange {
  uint32_t address = 0;  // linear, as linked
  std::vector<uint8_t> bytes;
};

class CensusImage final : public CodeSource, public SoftSites {
 public:
  static std::unique_ptr<CensusImage> open(const std::string& path, std::string* error);

  [[nodiscard]] const std::string& kind() const { return kind_; }
  [[nodiscard]] const std::string& remark() const { return remark_; }  // what the census misses
  [[nodiscard]] bool can_boot() const { return can_boot_; }
  [[nodiscard]] uint32_t entry() const { return entry_; }
  [[nodiscard]] const std::vector<CodeRange>& ranges() const { return ranges_; }

  // CodeSource: the ranges, linear and physical address being the same.
  [[nodiscard]] std::span<const uint8_t> code_at(GuestVirtual address, Privilege privilege,
                                                 GuestPhysical* physical) override;
  [[nodiscard]] bool is_soft(GuestPhysical) const override { return false; }

 private:
  CensusImage() = default;
  [[nodiscard]] std::string read(const std::string& path);
  [[nodiscard]] std::string read_elf(std::span<const uint8_t> file);
  [[nodiscard]] std::string read_linux(std::span<const uint8_t> file);
  [[nodiscard]] bool add_range(std::span<const uint8_t> file, uint64_t offset, uint64_t length,
                               uint32_t address);

  std::string kind_, remark_;
  bool can_boot_ = false;
  uint32_t entry_ = 0;
  std::vector<CodeRange> ranges_;
};

}  // namespace ringshift::lab
