#include "shadowmmu/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace ringshift {
namespace {
CheckHook g_hook = nullptr;
}

void set_check_hook(CheckHook hook) { g_hook = hook; }

void check_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "ringshift: internal error: CHECK(%s) failed at %s:%d\n", expression, file,
               line);
  // The hook runs once: a CHECK inside it must not recurse.
  if (CheckHook hook = g_hook) {
    g_hook = nullptr;
    hook();
  }
  std::abort();
}

}  // namespace ringshift
