#include "shadowmmu/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace ringshift {
namespace {
thread_local CheckHook t_hook = nullptr;
}

void set_check_hook(CheckHook hook) { t_hook = hook; }

void check_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "ringshift: internal error: CHECK(%s) failed at %s:%d\n", expression, file,
               line);
  // The hook runs once: a CHECK inside it must not recurse.
  if (CheckHook hook = t_hook) {
    t_hook = nullptr;
    hook();
  }
  std::abort();
}

}  // namespace ringshift
