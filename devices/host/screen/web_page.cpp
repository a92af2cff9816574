#include "devices/host/screen/web_page.h"

#include <string_view>

// The build says where the file is, and makes this source anew when it changes.
// clang-format off
asm(".section .rodata\n"
    ".globl ringshift_web_page\n.hidden ringshift_web_page\nringshift_web_page:\n"
    ".incbin \"" RINGSHIFT_WEB_PAGE "\"\n"
    ".globl ringshift_web_page_end\n.hidden ringshift_web_page_end\nringshift_web_page_end:\n"
    ".byte 0\n.text\n");
// clang-format on
extern "C" {
extern const char ringshift_web_page[] __attribute__((visibility("hidden")));
extern const char ringshift_web_page_end[] __attribute__((visibility("hidden")));
}

namespace ringshift {

std::string web_page(const std::string& nonce) {
  constexpr std::string_view kPlace = "@NONCE@";
  std::string page(ringshift_web_page, ringshift_web_page_end);
  for (size_t at = page.find(kPlace); at != std::string::npos; at = page.find(kPlace, at)) {
    page.replace(at, kPlace.size(), nonce);
  }
  return page;
}

}  // namespace ringshift
