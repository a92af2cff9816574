// ExecutionEngine: one way of making the guest go on from an instruction boundary. The loop asks
// its engines in turn until one takes the guest; the interpreter takes whatever is left. See
// docs/architecture.md.
#pragma once

#include <cstdint>

#include "monitor/host/attention.h"
#include "monitor/spaces/code_space.h"
#include "monitor/spaces/hot_sites.h"
#include "monitor/spaces/user/data_paths.h"
#include "monitor/spaces/user/direct_spaces.h"
#include "monitor/vcpu/boundary.h"
#include "monitor/vcpu/torture.h"
#include "translator/gate.h"
#include "translator/translator.h"

namespace ringshift {

// The parts that engines share beside the boundary. The processor owns all of them.
struct EngineParts {
  Boundary& boundary;
  AddressSpaces& spaces;
  CodeSpace& code;
  DataPaths& data;
  DirectSpaces& direct;
  HotSites& sites;
  Translator& translator;
  Gate& gate;
  Attention& attention;
  Torture& torture;
};

enum class Turn : uint8_t {
  Done,      // the guest has gone on, or attention is wanted: the loop looks around again
  Declined,  // not a guest for this engine, here and now; nothing has happened
};

class ExecutionEngine {
 public:
  virtual ~ExecutionEngine() = default;
  // Pre: translated_mode() has one, or, of Engine::Trap, execution_mode() says Translatable.
  [[nodiscard]] virtual Turn run() = 0;
};

}  // namespace ringshift
