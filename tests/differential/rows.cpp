#include "tests/differential/rows.h"

#include <cstdlib>
#include <sstream>
#include <string>
#include <string_view>

namespace ringshift::differential {
namespace {

// A row as text. Hex pairs: opcode bytes. /r: ModRM with any register; /0-/7: that digit; m or x
// after it: memory or register form only. +r: register in the opcode. ib iw iz enter moffs:
// immediates. p66 pf2 pf3: mandatory prefix. w: operand-size prefix allowed. lk: LOCK allowed in
// memory form. rep: REP prefixes allowed. bt: bit string. al: aligned operand. vex: VEX.0F38.
void parse_modrm(const std::string& token, Row* row) {
  row->modrm = RowModRm::Any;
  if (token.back() == 'm') row->modrm = RowModRm::MemoryOnly;
  if (token.back() == 'x') row->modrm = RowModRm::RegisterOnly;
  row->digit = token[1] == 'r' ? int8_t{-1} : static_cast<int8_t>(token[1] - '0');
}

void parse_option(const std::string& token, Row* row) {
  if (token == "+r") row->register_in_opcode = true;
  if (token == "ib") row->immediate = RowImmediate::Byte;
  if (token == "iw") row->immediate = RowImmediate::Word;
  if (token == "iz") row->immediate = RowImmediate::BySize;
  if (token == "enter") row->immediate = RowImmediate::Enter;
  if (token == "moffs") row->immediate = RowImmediate::Offset;
  if (token == "w") row->word = true;
  if (token == "lk") row->lockable = true;
  if (token == "rep") row->repeatable = true;
  if (token == "bt") row->bit_string = true;
  if (token == "al") row->aligned = true;
  if (token == "vex") row->vex = true;
}

Row parse(const std::string& text) {
  Row row;
  std::istringstream words(text);
  for (std::string token; words >> token;) {
    const bool hex =
        token.size() == 2 && token.find_first_not_of("0123456789ABCDEF") == std::string::npos;
    if (hex) {
      row.opcode.push_back(static_cast<uint8_t>(std::strtoul(token.c_str(), nullptr, 16)));
    } else if (token[0] == '/') {
      parse_modrm(token, &row);
    } else if (token[0] == 'p') {
      row.mandatory_prefix = static_cast<uint8_t>(std::strtoul(token.c_str() + 1, nullptr, 16));
    } else {
      parse_option(token, &row);
    }
  }
  return row;
}

std::string hex(unsigned value) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  return {kDigits[(value >> 4) & 15], kDigits[value & 15]};
}

// One row for each opcode of a list like "10 14-17 28".
void add_each(std::vector<Row>* rows, const std::string& before, const std::string& opcodes,
              const std::string& after) {
  std::istringstream words(opcodes);
  for (std::string token; words >> token;) {
    const auto first = static_cast<unsigned>(std::strtoul(token.substr(0, 2).c_str(), nullptr, 16));
    const unsigned last =
        token.size() == 5
            ? static_cast<unsigned>(std::strtoul(token.substr(3).c_str(), nullptr, 16))
            : first;
    for (unsigned opcode = first; opcode <= last; ++opcode) {
      rows->push_back(parse(before + " " + hex(opcode) + " " + after));
    }
  }
}

std::vector<Row> rows_of(std::initializer_list<const char*> texts) {
  std::vector<Row> rows;
  for (const char* text : texts) rows.push_back(parse(text));
  return rows;
}

std::vector<Row> arithmetic() {
  std::vector<Row> rows;
  for (unsigned operation = 0; operation < 8; ++operation) {
    const std::string lock = operation == 7 ? "" : " lk";
    const std::string digit = "/" + std::to_string(operation);
    rows.push_back(parse(hex(operation * 8) + " /r" + lock));
    rows.push_back(parse(hex(operation * 8 + 1) + " /r w" + lock));
    rows.push_back(parse(hex(operation * 8 + 2) + " /r"));
    rows.push_back(parse(hex(operation * 8 + 3) + " /r w"));
    rows.push_back(parse(hex(operation * 8 + 4) + " ib"));
    rows.push_back(parse(hex(operation * 8 + 5) + " iz w"));
    rows.push_back(parse("80 " + digit + " ib" + lock));
    rows.push_back(parse("81 " + digit + " iz w" + lock));
    rows.push_back(parse("82 " + digit + " ib"));
    rows.push_back(parse("83 " + digit + " ib w" + lock));
  }
  for (const Row& row : rows_of({"84 /r", "85 /r w", "A8 ib", "A9 iz w", "F6 /0 ib", "F7 /0 iz w",
                                 "F6 /2 lk", "F7 /2 w lk", "F6 /3 lk", "F7 /3 w lk", "FE /0 lk",
                                 "FF /0 w lk", "FE /1 lk", "FF /1 w lk", "40 +r w", "48 +r w"})) {
    rows.push_back(row);
  }
  return rows;
}

std::vector<Row> shifts() {
  std::vector<Row> rows;
  for (unsigned operation = 0; operation < 8; ++operation) {
    const std::string digit = "/" + std::to_string(operation);
    for (const char* opcode : {"C0", "D0", "D2"}) {
      const bool immediate = opcode[0] == 'C';
      rows.push_back(parse(std::string(opcode) + " " + digit + (immediate ? " ib" : "")));
    }
    for (const char* opcode : {"C1", "D1", "D3"}) {
      const bool immediate = opcode[0] == 'C';
      rows.push_back(parse(std::string(opcode) + " " + digit + (immediate ? " ib w" : " w")));
    }
  }
  for (const Row& row : rows_of({"0F A4 /r ib w", "0F A5 /r w", "0F AC /r ib w", "0F AD /r w"})) {
    rows.push_back(row);
  }
  return rows;
}

std::vector<Row> bits_and_conditions() {
  std::vector<Row> rows = rows_of(
      {"0F A3 /r w bt", "0F AB /r w bt lk", "0F B3 /r w bt lk", "0F BB /r w bt lk", "0F BA /4 ib w",
       "0F BA /5 ib w lk", "0F BA /6 ib w lk", "0F BA /7 ib w lk", "0F BC /r w", "0F BD /r w",
       "pF3 0F B8 /r w", "0F C8 +r", "pF2 0F 38 F0 /r", "pF2 0F 38 F1 /r w"});
  add_each(&rows, "0F", "40-4F", "/r w");
  add_each(&rows, "0F", "90-9F", "/r");
  return rows;
}

// Without BMI1 on the host all of these are #UD but REP BSF, which is then BSF.
std::vector<Row> bmi1() {
  return rows_of(
      {"pF3 0F BC /r w", "vex F2 /r", "vex F7 /r", "vex F3 /1", "vex F3 /2", "vex F3 /3"});
}

std::vector<Row> moves() {
  return rows_of({"88 /r",        "89 /r w",
                  "8A /r",        "8B /r w",
                  "C6 /0 ib",     "C7 /0 iz w",
                  "B0 +r ib",     "B8 +r iz w",
                  "A0 moffs",     "A1 moffs w",
                  "A2 moffs",     "A3 moffs w",
                  "8D /rm w",     "8D /rm",
                  "8D /rm",       "86 /r lk",
                  "87 /r w lk",   "90 +r w",
                  "98 w",         "99 w",
                  "0F B6 /r w",   "0F B7 /r w",
                  "0F BE /r w",   "0F BF /r w",
                  "0F C0 /r lk",  "0F C1 /r w lk",
                  "0F B0 /r lk",  "0F B1 /r w lk",
                  "0F C7 /1m lk", "9E",
                  "9F",           "F5",
                  "F8",           "F9",
                  "FC",           "FD",
                  "D7",           "0F C3 /rm",
                  "0F 18 /0m",    "0F 18 /3m",
                  "0F 1F /0 w",   "D6"});
}

std::vector<Row> multiplications() {
  return rows_of({"F6 /4", "F7 /4 w", "F6 /5", "F7 /5 w", "69 /r iz w", "6B /r ib w", "0F AF /r w",
                  "F6 /6", "F7 /6 w", "F6 /7", "F7 /7 w"});
}

std::vector<Row> stack() {
  return rows_of({"50 +r w", "58 +r w", "68 iz w", "6A ib w", "FF /6 w", "8F /0 w", "60 w", "61 w",
                  "C8 enter", "C9", "9C"});
}

std::vector<Row> strings() {
  return rows_of({"A4 rep", "A5 rep w", "A6 rep", "A7 rep w", "AA rep", "AB rep w", "AC rep",
                  "AD rep w", "AE rep", "AF rep w"});
}

std::vector<Row> decimal_and_rare() {
  return rows_of({"27", "2F", "37", "3F", "D4 ib", "D5 ib", "62 /rm w", "0F 0B"});
}

std::vector<Row> x87() {
  std::vector<Row> rows;
  add_each(&rows, "", "D8 DA DC DE DF", "/rm");
  for (const char* text :
       {"D9 /0m", "D9 /2m", "D9 /3m", "D9 /5m", "D9 /7m", "DB /0m", "DB /1m", "DB /2m", "DB /3m",
        "DB /5m", "DB /7m", "DD /0m", "DD /1m", "DD /2m", "DD /3m", "DD /7m", "9B"}) {
    rows.push_back(parse(text));
  }
  add_each(&rows, "D8", "C0-FF", "");
  add_each(&rows, "D9", "C0-D0 E0 E1 E4 E5 E8-EE F0-FF", "");
  add_each(&rows, "DA", "C0-DF E9", "");
  add_each(&rows, "DB", "C0-DF E2 E3 E8-F7", "");
  add_each(&rows, "DC", "C0-CF E0-FF", "");
  add_each(&rows, "DD", "C0-C7 D0-EF", "");
  add_each(&rows, "DE", "C0-CF D9 E0-FF", "");
  add_each(&rows, "DF", "E0 E8-F7", "");
  return rows;
}

std::vector<Row> mmx() {
  std::vector<Row> rows;
  add_each(&rows, "0F", "60-6B 6E 6F 74-76 7E 7F D1-D5 D8-E5 E8-EF F1-F6 F8-FE", "/r");
  add_each(&rows, "0F", "D7", "/rx");
  add_each(&rows, "0F 38", "00-0B 1C-1E", "/r");
  for (const char* text :
       {"0F 70 /r ib",   "0F C4 /r ib",   "0F C5 /rx ib", "0F E7 /rm",       "0F 77",
        "0F 71 /2x ib",  "0F 71 /4x ib",  "0F 71 /6x ib", "0F 72 /2x ib",    "0F 72 /4x ib",
        "0F 72 /6x ib",  "0F 73 /2x ib",  "0F 73 /6x ib", "0F 3A 0F /r ib",  "0F 2A /r",
        "0F 2C /r",      "0F 2D /r",      "p66 0F 2A /r", "p66 0F 2C /r al", "p66 0F 2D /r al",
        "pF3 0F D6 /rx", "pF2 0F D6 /rx", "0F F7 /rx"}) {
    rows.push_back(parse(text));
  }
  return rows;
}

std::vector<Row> sse_float() {
  std::vector<Row> rows;
  for (const char* prefix : {"", "p66 "}) {
    const std::string before = std::string(prefix) + "0F";
    add_each(&rows, before, "10 11 2E 2F", "/r");
    add_each(&rows, before, "14 15 28 29 51 54-5F", "/r al");
    add_each(&rows, before, "12 13 16 17", "/rm");
    add_each(&rows, before, "50", "/rx");
    add_each(&rows, before, "C2 C6", "/r ib al");
    add_each(&rows, before, "2B", "/rm al");
  }
  add_each(&rows, "pF3 0F", "10-12 16 2A 2C 2D 51-53 58-5F E6", "/r");
  add_each(&rows, "pF2 0F", "10-12 2A 2C 2D 51 58-5A 5C-5F E6", "/r");
  add_each(&rows, "0F", "12 16", "/rx");
  add_each(&rows, "0F", "52 53", "/r al");
  add_each(&rows, "pF2 0F", "7C 7D D0", "/r al");
  add_each(&rows, "p66 0F", "7C 7D D0 E6", "/r al");
  for (const char* text : {"pF3 0F C2 /r ib", "pF2 0F C2 /r ib", "0F AE /2m", "0F AE /3m",
                           "0F AE E8", "0F AE F0", "0F AE F8"}) {
    rows.push_back(parse(text));
  }
  return rows;
}

std::vector<Row> sse_integer() {
  std::vector<Row> rows;
  add_each(&rows, "p66 0F", "60-6D 6F 74-76 7F D1-D5 D8-E5 E8-EF F1-F6 F8-FE", "/r al");
  add_each(&rows, "p66 0F", "6E 7E D6", "/r");
  add_each(&rows, "p66 0F", "D7 F7", "/rx");
  add_each(&rows, "p66 0F", "E7", "/rm al");
  add_each(&rows, "p66 0F 38", "00-0B 10 14 15 17 1C-1E 28 29 2B 37-41", "/r al");
  add_each(&rows, "p66 0F 38", "20-25 30-35", "/r");
  add_each(&rows, "p66 0F 38", "2A", "/rm al");
  add_each(&rows, "p66 0F 3A", "08 09 0C-0F 40-42", "/r ib al");
  add_each(&rows, "p66 0F 3A", "0A 0B 14-17 20-22 60-63", "/r ib");
  add_each(&rows, "pF3 0F", "6F 7E 7F", "/r");
  for (const char* text :
       {"p66 0F 70 /r ib al", "pF3 0F 70 /r ib al", "pF2 0F 70 /r ib al", "p66 0F C4 /r ib",
        "p66 0F C5 /rx ib", "p66 0F 71 /2x ib", "p66 0F 71 /4x ib", "p66 0F 71 /6x ib",
        "p66 0F 72 /2x ib", "p66 0F 72 /4x ib", "p66 0F 72 /6x ib", "p66 0F 73 /2x ib",
        "p66 0F 73 /3x ib", "p66 0F 73 /6x ib", "p66 0F 73 /7x ib", "pF2 0F F0 /rm"}) {
    rows.push_back(parse(text));
  }
  return rows;
}

}  // namespace

const std::vector<RowFamily>& row_families() {
  static const std::vector<RowFamily> families = {{"arithmetic", 10, arithmetic()},
                                                  {"shifts", 5, shifts()},
                                                  {"bits", 5, bits_and_conditions()},
                                                  {"bmi1", 2, bmi1()},
                                                  {"moves", 9, moves()},
                                                  {"multiplications", 3, multiplications()},
                                                  {"stack", 4, stack()},
                                                  {"strings", 3, strings()},
                                                  {"decimal", 1, decimal_and_rare()},
                                                  {"x87", 6, x87()},
                                                  {"mmx", 3, mmx()},
                                                  {"sse float", 5, sse_float()},
                                                  {"sse integer", 5, sse_integer()}};
  return families;
}

}  // namespace ringshift::differential
