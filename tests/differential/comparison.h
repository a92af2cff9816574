// Comparison: one case on the silicon, where the host runs 32-bit code, in the interpreter and
// translated both ways. Owns: the three guests and the silicon. Window style is CPL 0 on supervisor
// pages, Soft style CPL 3, or CPL 0 on user pages.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/differential/case.h"
#include "tests/differential/report.h"
#include "tests/differential/silicon.h"

namespace ringshift::differential {

class Comparison {
 public:
  static std::unique_ptr<Comparison> create(std::string* error);

  [[nodiscard]] Guest& oracle() { return *oracle_; }
  [[nodiscard]] const Expected& expected() const { return expected_; }
  [[nodiscard]] const std::vector<Run>& runs() const { return runs_; }

  // Runs a case everywhere. True: all agree, or the case says nothing.
  bool agrees(const Case& test);
  [[nodiscard]] bool has_segments() const {
    return silicon_ == nullptr || silicon_->has_segments();
  }
  // To be called when `test` has just disagreed: that comparison, as it was made, and the smallest
  // case that still fails, if it fails again at all.
  [[nodiscard]] std::string report(const Case& test);
  // Listing, states and host code of the last case run.
  [[nodiscard]] std::string describe(const Case& test);

 private:
  Comparison() = default;
  // Drops pieces as long as the case still fails.
  Case shrink(Case test);
  [[nodiscard]] std::string host_code();
  std::unique_ptr<Silicon> silicon_;  // null: the host runs no 32-bit code
  std::unique_ptr<Guest> oracle_;
  std::unique_ptr<Guest> window_;
  std::unique_ptr<Guest> soft_;
  Expected expected_;
  std::vector<Run> runs_;
};

}  // namespace ringshift::differential
