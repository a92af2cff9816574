// PerfMap: names translated code for `perf`, in the file that it looks for: /tmp/perf-PID.map.
// Owns: the file while the machine runs; it stays afterwards, perf reads it later. Code whose place
// is used again is named again: perf then believes the last name. See docs/performance.md.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "translator/fragment.h"
#include "translator/stubs.h"
#include "translator/translation_unit.h"

namespace ringshift {

// "kernel c0102030 window i8 m3 d1": privilege, guest EIP, style, instructions by treatment.
[[nodiscard]] std::string perf_name(const TranslationUnit& unit);

class PerfMap {
 public:
  // Null with one line in *error if the file cannot be written.
  static std::unique_ptr<PerfMap> create(const std::string& path, std::string* error);
  // The path at which perf looks for the names of this process.
  [[nodiscard]] static std::string path_of_this_process();

  void add_stubs(const Stubs& stubs);
  void add(const Fragment& fragment, const TranslationUnit& unit);
  // One that was copied from another, whose unit is gone.
  void add_copy(const Fragment& fragment);
  // All names are in the file. False, once with one line on standard error: some are not.
  [[nodiscard]] bool finish();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  explicit PerfMap(std::FILE* file) : file_(file) {}
  void write(uint64_t address, uint64_t bytes, const std::string& name);
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace ringshift
