// LoadedDescriptors: fills the tables from which generated code loads data segment registers again,
// and makes far transfers again. Owns: copies of GDTR and LDTR; the tables are in the frame. An
// entry is the result of the last load of these descriptor bytes, so only another GDTR or LDTR
// invalidates it; the gate forgets the destinations of transfers with its return stacks. See
// docs/translator.md, "Segment loads" and "Far transfers".
#pragma once

#include <cstdint>
#include <optional>

#include "monitor/memory/linear_memory.h"
#include "monitor/spaces/user/data_paths.h"
#include "translator/frame.h"
#include "translator/gate.h"

namespace ringshift {

// The value of Slots::fs_probe or gs_probe for a segment register with these contents.
[[nodiscard]] uint64_t segment_probe(const SegmentCache& cache);

class LoadedDescriptors {
 public:
  LoadedDescriptors(Gate& gate, LinearMemory& memory, DataPaths& data);
  // Empties the tables if GDTR, LDTR or the supervisor's window is another than when they were
  // filled.
  void check_table() {
    const GuestState& state = frame_.state;
    if (state.gdtr.base != gdtr_.base || state.gdtr.limit != gdtr_.limit || state.ldtr != ldtr_ ||
        data_.supervisor_base() != window_) {
      clear();
    }
  }
  // This register has just been loaded, in protected mode: the same load may be made again without
  // us.
  void note(SegmentRegister segment);
  // The far transfer that Slots::far_tag and far_eip describe has just been made from a mode to
  // the one in the slots, without a fault, and `body` is the code there.
  void note_far(const CodeMode& from, const CodeMode& to, uint64_t body);

 private:
  struct Found {
    uint64_t bytes;
    uint64_t host_address;
  };
  void clear();
  [[nodiscard]] std::optional<Found> find(uint16_t selector);
  Gate& gate_;
  Frame& frame_;
  LinearMemory& memory_;
  DataPaths& data_;
  DescriptorTableRegister gdtr_;
  SegmentCache ldtr_;
  uint64_t window_ = 0;
};

}  // namespace ringshift
