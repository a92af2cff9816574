#include "monitor/command/translate_command.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "monitor/machine/machine.h"
#include "monitor/vcpu/execution_mode.h"
#include "translator/listing.h"

namespace ringshift {
namespace {

// The bytes of a file at an address, and nothing around them.
class RawCode final : public CodeSource, public SoftSites {
 public:
  RawCode(std::vector<uint8_t> bytes, uint32_t base) : bytes_(std::move(bytes)), base_(base) {}
  [[nodiscard]] std::span<const uint8_t> code_at(GuestVirtual address, Privilege,
                                                 GuestPhysical* physical) override {
    const uint32_t offset = address.value() - base_;
    if (offset >= bytes_.size()) return {};
    *physical = GuestPhysical(address.value());
    const size_t in_page = kPageSize - address.offset_in_page();
    return {bytes_.data() + offset, std::min(bytes_.size() - offset, in_page)};
  }
  [[nodiscard]] bool is_soft(GuestPhysical) const override { return false; }

 private:
  std::vector<uint8_t> bytes_;
  uint32_t base_;
};

TranslateRequest request_of(const TranslateOptions& options) {
  TranslateRequest request;
  request.privilege = options.ring == 3 ? Privilege::User : Privilege::Supervisor;
  request.style = options.access_style;
  request.max_blocks = options.blocks;
  request.max_instructions = options.count;
  request.limits = options.guest.machine.translator.limits;
  request.features.sse2_and_later = options.guest.machine.cpu.sse42;
  request.features.tzcnt = options.guest.machine.cpu.bmi1;
  return request;
}

bool translate_raw(const TranslateOptions& options, std::string* text, std::string* error) {
  std::ifstream file(options.raw_path, std::ios::binary);
  if (!file) {
    *error = "cannot read " + options.raw_path + ": " + std::strerror(errno);
    return false;
  }
  RawCode source({std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()},
                 options.base_address);
  TranslateRequest request = request_of(options);
  request.first_eip = Eip(options.at_address.value_or(options.base_address));
  return translate_blocks(request, source, source, text, error);
}

bool translate_image(const TranslateOptions& options, std::string* text, std::string* error) {
  const std::unique_ptr<Machine> machine = Machine::create(options.guest.machine, error);
  if (machine == nullptr) return false;
  const ModeReason mode = execution_mode(machine->state());
  if (!options.at_address && mode != ModeReason::Translatable) {
    *error = std::string("the guest does not start in flat 32-bit code: ") + mode_reason_name(mode);
    return false;
  }
  TranslateRequest request = request_of(options);
  request.first_eip = Eip(options.at_address.value_or(machine->state().eip));
  return translate_blocks(request, machine->processor().code(), machine->processor().sites(), text,
                          error);
}

}  // namespace

bool run_translate(const TranslateOptions& options, std::string* text, std::string* error) {
  return options.raw_path.empty() ? translate_image(options, text, error)
                                  : translate_raw(options, text, error);
}

}  // namespace ringshift
