// FileNode: the contents of a file of machines, TOML or JSON, as a tree: tables, lists, texts, and
// the line of each. The libraries that read them are behind toml_file.cpp and json_file.cpp. See
// docs/machines.md, "The file"; TOML 1.0; RFC 8259.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ringshift::manager {

struct FileNode {
  enum class Kind : uint8_t { Table, List, Text, Number, Flag, Other };
  Kind kind = Kind::Table;
  const char* what = "a table";  // as messages say it
  // The value of a text, a number or a flag, as a command line has it.
  std::string text;
  bool is_on = false;                       // of a flag
  std::map<std::string, FileNode> members;  // of a table
  std::vector<FileNode> items;              // of a list
  // From 1: where it begins, and where its key is.
  unsigned line = 1, key_line = 1;

  [[nodiscard]] bool is_scalar() const {
    return kind == Kind::Text || kind == Kind::Number || kind == Kind::Flag;
  }
  [[nodiscard]] bool is_table() const { return kind == Kind::Table; }
};

struct FileProblem {
  unsigned line = 1;
  std::string what;  // may have several lines
};

// The whole text as a table. False with *problem.
[[nodiscard]] bool read_toml(std::string_view text, FileNode* top, FileProblem* problem);
[[nodiscard]] bool read_json(std::string_view text, FileNode* top, FileProblem* problem);

}  // namespace ringshift::manager
