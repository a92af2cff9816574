// FileNode from TOML.
#include <fmt/format.h>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <algorithm>

#include "monitor/manager/file_node.h"

namespace ringshift::manager {
namespace {

unsigned line_of(const toml::source_region& where) {
  return std::max<unsigned>(where.begin.line, 1);
}

void take_scalar(const toml::node& node, FileNode* out) {
  using Kind = FileNode::Kind;
  if (const auto* text = node.as_string()) {
    out->kind = Kind::Text;
    out->what = "a text";
    out->text = text->get();
  } else if (const auto* number = node.as_integer()) {
    out->kind = Kind::Number;
    out->what = "a number";
    out->text = std::to_string(number->get());
  } else if (const auto* fraction = node.as_floating_point()) {
    out->kind = Kind::Number;
    out->what = "a number";
    out->text = fmt::format("{}", fraction->get());
  } else if (const auto* flag = node.as_boolean()) {
    out->kind = Kind::Flag;
    out->what = "true or false";
    out->is_on = flag->get();
    out->text = flag->get() ? "on" : "off";
  } else {
    out->kind = Kind::Other;
    out->what = "a date or time";
  }
}

// The library bounds the depth.
FileNode node_of(const toml::node& node) {
  FileNode out;
  out.line = line_of(node.source());
  if (const auto* const table = node.as_table()) {
    for (const auto& [key, value] : *table) {
      FileNode& member = out.members[std::string(key.str())] = node_of(value);
      member.key_line = line_of(key.source());
    }
  } else if (const auto* const list = node.as_array()) {
    out.kind = FileNode::Kind::List;
    out.what = "a list";
    for (const toml::node& item : *list) out.items.push_back(node_of(item));
  } else {
    take_scalar(node, &out);
  }
  return out;
}

}  // namespace

bool read_toml(std::string_view text, FileNode* top, FileProblem* problem) {
  const toml::parse_result parsed = toml::parse(text);
  if (parsed) {
    *top = node_of(parsed.table());
    return true;
  }
  *problem = {line_of(parsed.error().source()), std::string(parsed.error().description())};
  return false;
}

}  // namespace ringshift::manager
