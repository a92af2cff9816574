#include "devices/host/console_inlet.h"

#include <limits>
#include <vector>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {

void ConsoleInlet::put(const HostInput& input) {
  switch (input.kind) {
    case HostInput::Kind::ConsoleBytes:
      return (prompt_is_open_ ? prompt_ : guest_).append(input.bytes);
    case HostInput::Kind::PromptKey:
      prompt_is_open_ = !prompt_is_open_;
      return on_taken_(1);
    case HostInput::Kind::ConsoleEnd:
      ended_ = true;
      return;
    case HostInput::Kind::Quit:
    case HostInput::Kind::Report:
    case HostInput::Kind::Save:
    case HostInput::Kind::RamFile:
    case HostInput::Kind::Debugger:
    case HostInput::Kind::Reset:
    case HostInput::Kind::PowerButton:
    case HostInput::Kind::Figures:
    case HostInput::Kind::Screen:
    case HostInput::Kind::Keys:
    case HostInput::Kind::Motion:
    case HostInput::Kind::Control:
    case HostInput::Kind::Migration:
    case HostInput::Kind::NetworkRoom:
    case HostInput::Kind::NetworkLink:
    case HostInput::Kind::NetworkFrames:
    case HostInput::Kind::ShareMessages:
    case HostInput::Kind::ShareRoom:
    case HostInput::Kind::ShareEnd:
      break;
  }
  UNREACHABLE();
}

void ConsoleInlet::visit_state(StateArchive& archive) {
  std::vector<uint8_t> bytes(guest_.waiting().begin(), guest_.waiting().end());
  archive.list("bytes", bytes, std::numeric_limits<size_t>::max());
  archive.field("ended", ended_);
  if (!archive.has_loaded()) return;
  guest_ = {};
  guest_.append(bytes);
}

void ConsoleInlet::begin_at_prompt() {
  prompt_is_open_ = true;
  prompt_ = std::exchange(guest_, {});
}

void ConsoleInlet::leave_rest_to_guest() { guest_.append(prompt_.take_all()); }

void ConsoleInlet::offer(ByteQueue& queue, const Accept& accept) {
  if (queue.empty()) return;
  const size_t taken = accept(queue.waiting());
  CHECK(taken <= queue.size());
  queue.drop(taken);
  if (taken != 0) on_taken_(taken);
}

}  // namespace ringshift
