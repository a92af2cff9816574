#include "monitor/lab/census/census.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <unordered_map>

#include "monitor/lab/parts/progress.h"

namespace ringshift::lab {
namespace {

CensusRow& row_for(const ConcernedInstruction& what, Treatment treatment, Census* census) {
  CensusRow& row = census->rows[what.name];
  row.concern = what.concern;
  row.treatment = treatment;
  return row;
}

// Walks an image's code by where control may go.
class Reach {
 public:
  Reach(const CensusImage& image, const InstructionStarts& starts, Census* census)
      : image_(image), starts_(starts), census_(census) {
    for (const ImageRange& range : image.code()) seen_.emplace_back(range.bytes.size());
  }

  void from_entry() {
    waiting_.push_back(image_.linked(image_.entry()));
    drain();
    census_->reached_by_branches = census_->reached_instructions;
  }
  // Addresses as reached code holds them, and as data does.
  void from_addresses() {
    for (const ImageRange& range : image_.data()) add_words(range);
    while (!addresses_.empty()) {
      const uint32_t address = addresses_.back();
      addresses_.pop_back();
      if (is_instruction(address)) waiting_.push_back(address);
      drain();
    }
  }

 private:
  void add_words(const ImageRange& range) {
    for (size_t at = (4 - range.address % 4) % 4; at + 4 <= range.bytes.size(); at += 4) {
      uint32_t word = 0;
      std::memcpy(&word, range.bytes.data() + at, sizeof(word));
      if (is_instruction(word)) addresses_.push_back(word);
    }
  }

  struct Place {
    size_t range = 0, offset = 0;
  };
  [[nodiscard]] std::optional<Place> find(uint32_t address) const {
    for (size_t i = 0; i < image_.code().size(); ++i) {
      const uint32_t offset = address - image_.code()[i].address;
      if (offset < image_.code()[i].bytes.size()) return Place{i, offset};
    }
    return std::nullopt;
  }
  [[nodiscard]] bool is_instruction(uint32_t address) const {
    const std::optional<Place> place = find(address);
    return place && starts_[place->range][place->offset];
  }

  void drain() {
    while (!waiting_.empty()) {
      const uint32_t eip = waiting_.back();
      waiting_.pop_back();
      visit(eip);
    }
  }

  void visit(uint32_t eip) {
    const std::optional<Place> place = find(eip);
    if (!place || seen_[place->range][place->offset]) return;
    seen_[place->range][place->offset] = true;
    GuestInstruction instruction;
    if (decode(std::span(image_.code()[place->range].bytes).subspan(place->offset),
               DecodeMode::Bits32, &instruction) != DecodeOutcome::Ok) {
      return;
    }
    ++census_->reached_instructions;
    const Treatment treatment = treatment_of(instruction);
    ++census_->reached_by_treatment[static_cast<size_t>(treatment)];
    const ConcernedInstruction what = concern_of(instruction);
    if (what.concern != Concern::None) ++row_for(what, treatment, census_).reached;
    follow(instruction, eip);
  }

  // Where control may go after an instruction, as far as the bytes say.
  void follow(const GuestInstruction& instruction, uint32_t eip) {
    const uint32_t next = eip + instruction.length;
    const ZydisDecodedOperand& target = instruction.operands[0];
    const ZydisInstructionCategory category = instruction.facts.meta.category;
    const bool branches = category == ZYDIS_CATEGORY_UNCOND_BR ||
                          category == ZYDIS_CATEGORY_COND_BR || category == ZYDIS_CATEGORY_CALL;
    const bool ends = category == ZYDIS_CATEGORY_UNCOND_BR || category == ZYDIS_CATEGORY_RET ||
                      category == ZYDIS_CATEGORY_SYSRET ||
                      instruction.facts.mnemonic == ZYDIS_MNEMONIC_UD2 ||
                      instruction.facts.mnemonic == ZYDIS_MNEMONIC_IRETD;
    if (!ends) waiting_.push_back(next);
    if (branches && target.type == ZYDIS_OPERAND_TYPE_POINTER) {
      waiting_.push_back(image_.linked(target.ptr.offset));
    }
    for (uint8_t i = 0; i < instruction.facts.operand_count_visible; ++i) {
      const ZydisDecodedOperand& operand = instruction.operands[i];
      if (operand.type != ZYDIS_OPERAND_TYPE_IMMEDIATE) continue;
      const auto value = static_cast<uint32_t>(operand.imm.value.u);
      if (branches && operand.imm.is_relative != 0) {
        waiting_.push_back(next + value);
      } else if (is_instruction(value)) {
        addresses_.push_back(value);
      }
    }
  }

  const CensusImage& image_;
  const InstructionStarts& starts_;
  Census* census_;
  std::vector<std::vector<bool>> seen_;
  std::vector<uint32_t> waiting_, addresses_;
};

// Counts one section. Names are made once for each kind of instruction.
class SectionCounter {
 public:
  explicit SectionCounter(const ImageRange& range) {
    section_.name = range.name;
    section_.bytes = range.bytes.size();
  }
  void count(const GuestInstruction& instruction, Treatment treatment, const std::string& name) {
    const auto place = static_cast<size_t>(treatment);
    if (!name.empty()) {
      ++section_.instructions[place][name];
      return;
    }
    uint64_t*& known = known_[place][instruction.facts.mnemonic];
    if (known == nullptr) known = &section_.instructions[place][mnemonic_of(instruction)];
    ++*known;
  }
  void add_to(Census* census) {
    for (CensusSection& other : census->sections) {
      if (other.name != section_.name) continue;
      other.bytes += section_.bytes;
      for (size_t i = 0; i < kTreatments; ++i) {
        for (const auto& [name, number] : section_.instructions[i]) {
          other.instructions[i][name] += number;
        }
      }
      return;
    }
    census->sections.push_back(std::move(section_));
  }

 private:
  CensusSection section_;
  std::array<std::unordered_map<int, uint64_t*>, kTreatments> known_;
};

// How many bytes of padding begin there. Read as code each pair of zeros is an ADD.
size_t padding_at(std::span<const uint8_t> code) {
  constexpr size_t kFewest = 16;
  const auto end = std::find_if(code.begin(), code.end(), [](uint8_t byte) { return byte != 0; });
  const auto zeros = static_cast<size_t>(end - code.begin());
  return zeros < kFewest ? 0 : zeros;
}

}  // namespace

InstructionStarts census_linear(const CensusImage& image, Census* census) {
  InstructionStarts starts;
  for (const ImageRange& range : image.code()) {
    SectionCounter counter(range);
    std::vector<bool>& found = starts.emplace_back(range.bytes.size());
    census->linear_bytes += range.bytes.size();
    size_t at = 0;
    while (at < range.bytes.size()) {
      const std::span<const uint8_t> code = std::span(range.bytes).subspan(at);
      if (const size_t padding = padding_at(code); padding != 0) {
        census->padding += padding;
        at += padding;
        continue;
      }
      GuestInstruction instruction;
      if (decode(code, DecodeMode::Bits32, &instruction) != DecodeOutcome::Ok) {
        ++census->undecodable;
        ++at;
        continue;
      }
      found[at] = true;
      ++census->linear_instructions;
      const Treatment treatment = treatment_of(instruction);
      ++census->linear_by_treatment[static_cast<size_t>(treatment)];
      const ConcernedInstruction what = concern_of(instruction);
      if (what.concern != Concern::None) ++row_for(what, treatment, census).linear;
      counter.count(instruction, treatment, what.name);
      at += instruction.length;
    }
    counter.add_to(census);
  }
  return starts;
}

void census_reached(const CensusImage& image, const InstructionStarts& starts, Census* census) {
  Reach reach(image, starts, census);
  reach.from_entry();
  reach.from_addresses();
}

void count_image(const CensusImage& image, Census* census) {
  note_step("decodes the image from front to back");
  const InstructionStarts starts = census_linear(image, census);
  note_step("follows the code from the entry point");
  census_reached(image, starts, census);
}

}  // namespace ringshift::lab
