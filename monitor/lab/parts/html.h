// HTML: the frame around every page of the laboratory: self-contained, light and dark, for
// screens of 400 to 1,600 pixels, keyboards and paper. Text from a guest or the host is passed
// through escape(). See docs/lab.md.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace ringshift::lab {

[[nodiscard]] std::string escape(std::string_view text);

struct Page {
  std::string name;                // a key of page_names()
  std::string title;               // text
  std::string introduction, body;  // HTML already
  std::string data = "{}";         // JSON, for `script`
  std::string_view script;
};

// The pages that `lab all` writes, in the order of the story.
struct PageName {
  const char* name;  // the file's, without ".html"
  const char* title;
};
[[nodiscard]] std::span<const PageName> page_names();

// A page is alone in its file, or one of a folder of pages that lead to each other.
enum class Company : uint8_t { Alone, Folder };

[[nodiscard]] std::string html_page(const Page& page, Company company);

// False with one line in *error.
[[nodiscard]] bool write_page(const std::string& path, const std::string& page, std::string* error);

}  // namespace ringshift::lab
