// Effects: the changes that an instruction made to registers, memory and control, as comparable
// short texts. Visible effects are those that software can see without privilege; control is the
// state that decides over resources (Popek and Goldberg's R, M and traps). See docs/lab.md.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "translator/guest_state.h"

namespace ringshift::lab {

// One side of a comparison, as software sees it.
struct Visible {
  uint32_t eip = 0;
  uint32_t eflags = 0;
  std::array<uint32_t, kGprCount> gpr{};
  std::span<const uint8_t> data;
};

// "EAX=0000002a", "[20002ffc]=00000008", "ZF=1": where `after` is unlike `before`. Without EIP.
[[nodiscard]] std::vector<std::string> visible_effects(const Visible& before, const Visible& after,
                                                       uint32_t data_base);
[[nodiscard]] bool same_visible(const Visible& left, const Visible& right);

// "IF 1->0", "GS 23->33", "CR0": the resources of control that are unlike.
[[nodiscard]] std::vector<std::string> control_changes(const GuestState& before,
                                                       const GuestState& after);

[[nodiscard]] std::string joined(const std::vector<std::string>& words, const char* between);
[[nodiscard]] std::string exception_name(uint32_t vector, uint32_t error_code);

}  // namespace ringshift::lab
