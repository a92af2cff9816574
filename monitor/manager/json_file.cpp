// FileNode from JSON.
#include <fmt/format.h>

#include <cstddef>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "monitor/manager/file_node.h"

namespace ringshift::manager {
namespace {

using nlohmann::json;

// Deeper than any file of machines, and not too deep to be walked through.
constexpr size_t kDeepest = 32;

// Characters of a text; how many lines have been begun by those that were read so far.
class CountedText {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountedText(const char* at, unsigned* line) : at_(at), line_(line) {}
  reference operator*() const { return *at_; }
  CountedText& operator++() {
    // The parser reads one character ahead, so a line's end counts to that line, and the character
    // behind it to the next.
    if (ends_line_) ++*line_;
    ends_line_ = *at_++ == '\n';
    return *this;
  }
  CountedText operator++(int) {
    const CountedText before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountedText& other) const { return at_ == other.at_; }
  bool operator!=(const CountedText& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  unsigned* line_;
  bool ends_line_ = false;
};

// Makes the tree while the library reads: its own values have no lines, and let keys be there
// twice.
class TreeMaker final : public nlohmann::json_sax<json> {
 public:
  TreeMaker(FileNode* top, const unsigned* line, FileProblem* problem)
      : top_(top), line_(line), problem_(problem) {}

  bool null() override { return put(FileNode::Kind::Other, "nothing", ""); }
  bool boolean(bool on) override {
    if (!put(FileNode::Kind::Flag, "true or false", on ? "on" : "off")) return false;
    last_->is_on = on;
    return true;
  }
  bool number_integer(number_integer_t number) override {
    return put_number(std::to_string(number));
  }
  bool number_unsigned(number_unsigned_t number) override {
    return put_number(std::to_string(number));
  }
  bool number_float(number_float_t number, const string_t& /*text*/) override {
    return put_number(fmt::format("{}", number));
  }
  bool string(string_t& text) override { return put(FileNode::Kind::Text, "a text", text); }
  bool binary(binary_t& /*bytes*/) override { return false; }  // JSON has none
  bool start_object(size_t /*members*/) override { return open(FileNode::Kind::Table, "a table"); }
  bool start_array(size_t /*items*/) override { return open(FileNode::Kind::List, "a list"); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (open_.back()->members.contains(name)) return fail("'" + name + "' is there twice");
    key_ = name;
    key_line_ = *line_;
    return true;
  }
  bool parse_error(size_t /*position*/, const std::string& /*token*/,
                   const json::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    const std::string text = error.what();
    const size_t colon = text.find(": ");
    return fail(colon == std::string::npos ? text : text.substr(colon + 2));
  }

 private:
  bool fail(const std::string& what) {
    *problem_ = {*line_, what};
    return false;
  }
  bool put_number(const std::string& text) { return put(FileNode::Kind::Number, "a number", text); }

  bool put(FileNode::Kind kind, const char* what, const std::string& text) {
    FileNode node;
    node.kind = kind;
    node.what = what;
    node.text = text;
    node.line = *line_;
    node.key_line = key_line_;
    if (open_.empty()) {
      if (kind != FileNode::Kind::Table) return fail("{ is expected at its beginning");
      *top_ = std::move(node);
      last_ = top_;
    } else if (open_.back()->is_table()) {
      last_ = &(open_.back()->members[key_] = std::move(node));
    } else {
      last_ = &open_.back()->items.emplace_back(std::move(node));
    }
    return true;
  }
  // The open nodes do not move: only the innermost one gets more members.
  bool open(FileNode::Kind kind, const char* what) {
    if (open_.size() >= kDeepest) return fail("it is too deep");
    if (!put(kind, what, "")) return false;
    open_.push_back(last_);
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  FileNode* top_;
  const unsigned* line_;
  FileProblem* problem_;
  std::vector<FileNode*> open_;
  FileNode* last_ = nullptr;
  std::string key_;
  unsigned key_line_ = 1;
};

}  // namespace

bool read_json(std::string_view text, FileNode* top, FileProblem* problem) {
  unsigned line = 1;
  TreeMaker maker(top, &line, problem);
  const char* const begin = text.data();
  return json::sax_parse(CountedText(begin, &line), CountedText(begin + text.size(), &line),
                         &maker);
}

}  // namespace ringshift::manager
