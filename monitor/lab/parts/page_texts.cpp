#include "monitor/lab/parts/page_texts.h"

// The build says where the files are, and makes this source anew when one of them changes.
// clang-format off
#define PAGE_TEXT(name, file)                                                     \
  asm(".section .rodata\n"                                                        \
      ".globl lab_text_" #name "\n.hidden lab_text_" #name "\nlab_text_" #name ":\n" \
      ".incbin \"" RINGSHIFT_LAB_PAGES "/" file "\"\n"                            \
      ".globl lab_text_" #name "_end\n.hidden lab_text_" #name "_end\n"           \
      "lab_text_" #name "_end:\n.byte 0\n.text\n");                               \
  extern "C" {                                                                    \
  extern const char lab_text_##name[] __attribute__((visibility("hidden")));      \
  extern const char lab_text_##name##_end[] __attribute__((visibility("hidden"))); \
  }
// clang-format on

PAGE_TEXT(style, "style.css")
PAGE_TEXT(common, "common.js")
PAGE_TEXT(matrix, "matrix.js")
PAGE_TEXT(trap, "trap.js")
PAGE_TEXT(census, "census.js")
PAGE_TEXT(paging, "paging.js")
PAGE_TEXT(translate, "translate.js")

namespace ringshift::lab {

std::string_view page_style() { return {lab_text_style, lab_text_style_end}; }

std::string_view common_script() { return {lab_text_common, lab_text_common_end}; }

std::string_view matrix_script() { return {lab_text_matrix, lab_text_matrix_end}; }

std::string_view trap_script() { return {lab_text_trap, lab_text_trap_end}; }

std::string_view census_script() { return {lab_text_census, lab_text_census_end}; }

std::string_view paging_script() { return {lab_text_paging, lab_text_paging_end}; }

std::string_view translate_script() { return {lab_text_translate, lab_text_translate_end}; }

}  // namespace ringshift::lab
