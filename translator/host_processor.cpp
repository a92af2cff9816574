#include "translator/host_processor.h"

#include <asmjit/core.h>

namespace ringshift {

void look_at_host_processor() { (void)asmjit::CpuInfo::host(); }

}  // namespace ringshift
