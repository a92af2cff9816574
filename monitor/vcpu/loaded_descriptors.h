// LoadedDescriptors: fills the table from which generated code loads data segment registers again.
// Owns: nothing but what it remembers of GDTR; the table is in the frame. An entry is what the last
// load at CPL 0 made of these descriptor bytes, so it needs no invalidation but for GDTR. See
// docs/translator.md, "segment loads".
#pragma once

#include "monitor/memory/linear_memory.h"
#include "monitor/spaces/user/data_paths.h"
#include "translator/frame.h"

namespace ringshift {

// The value of Slots::fs_probe or gs_probe for a segment register with these contents.
[[nodiscard]] uint64_t segment_probe(const SegmentCache& cache);

class LoadedDescriptors {
 public:
  LoadedDescriptors(Frame& frame, LinearMemory& memory, DataPaths& data);
  // Empties the table if GDTR is another than when it was filled.
  void check_table();
  // This register has just been loaded at CPL 0: the same load may be made again without us.
  void note(SegmentRegister segment);

 private:
  void clear();
  Frame& frame_;
  LinearMemory& memory_;
  DataPaths& data_;
  DescriptorTableRegister gdtr_;
};

}  // namespace ringshift
