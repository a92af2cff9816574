// The protocol: gdb's manual, appendix "Remote Serial Protocol".
#include "monitor/debug/gdb/gdb_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "monitor/debug/gdb/gdb_replies.h"

namespace ringshift::debug {
namespace {

constexpr char kThread[] = "1";
constexpr size_t kConsoleChunk = 2048;

std::string_view without_thread(std::string_view action) {
  return action.substr(0, action.find(':'));
}

}  // namespace

void GdbSession::take(std::span<const uint8_t> bytes) {
  for (const uint8_t byte : bytes) {
    if (over_) return;
    if (const std::optional<PacketEvent> event = reader_.take(byte)) handle(*event);
  }
}

void GdbSession::handle(PacketEvent event) {
  switch (event) {
    case PacketEvent::Acknowledged:
      return;
    case PacketEvent::Repeat:
      if (acknowledges_) send_(last_sent_);
      return;
    case PacketEvent::Interrupt:
      target_->stop_travel();
      target_->control().pause(StopCause::Asked);
      return report_stop();
    case PacketEvent::BadPacket:
      if (acknowledges_) return acknowledge('-');
      return reply(kMalformed);
    case PacketEvent::TooLong:
      acknowledge('+');
      return reply(kTooLong);
    case PacketEvent::Packet:
      acknowledge('+');
      if (awaits_stop_) return reply(kRunning);
      if (const std::optional<std::string> text = answer(reader_.payload())) reply(*text);
      if (drops_acknowledgement_) acknowledges_ = false;
      return;
  }
}

void GdbSession::acknowledge(char character) {
  if (acknowledges_) send_(std::string_view(&character, 1));
}

void GdbSession::reply(std::string_view payload) {
  last_sent_ = framed(payload);
  send_(last_sent_);
}

struct GdbSession::Command {
  char letter;
  Handler handler;
};

std::optional<std::string> GdbSession::answer(std::string_view request) {
  static constexpr Command kCommands[] = {
      {'?', &GdbSession::why},
      {'g', &GdbSession::read_registers},
      {'G', &GdbSession::write_registers},
      {'p', &GdbSession::read_one_register},
      {'P', &GdbSession::write_one_register},
      {'m', &GdbSession::read_memory},
      {'M', &GdbSession::write_memory_hex},
      {'X', &GdbSession::write_memory_binary},
      {'Z', &GdbSession::insert_point},
      {'z', &GdbSession::remove_point},
      {'H', &GdbSession::select_thread},
      {'T', &GdbSession::thread_is_alive},
      {'D', &GdbSession::detach},
      {'k', &GdbSession::kill},
  };
  if (request.empty()) return kUnknown;
  const char letter = request[0];
  if (letter == 'q' || letter == 'Q') return answer_query(request);
  if (letter == 'b') return go_back(Arguments(request.substr(1)));
  if (letter == 'v' || letter == 'c' || letter == 'C' || letter == 's' || letter == 'S') {
    return resume(request);
  }
  for (const Command& command : kCommands) {
    if (command.letter == letter) return (this->*command.handler)(Arguments(request.substr(1)));
  }
  return kUnknown;
}

struct GdbSession::Query {
  std::string_view name;
  Handler handler;
};

std::optional<std::string> GdbSession::answer_query(std::string_view request) {
  static constexpr Query kQueries[] = {
      {"qSupported", &GdbSession::supported},
      {"qXfer:features:read:", &GdbSession::transfer},
      {"qRcmd,", &GdbSession::run_command},
      {"qfThreadInfo", &GdbSession::first_threads},
      {"qsThreadInfo", &GdbSession::more_threads},
      {"qThreadExtraInfo,", &GdbSession::thread_information},
      {"qC", &GdbSession::current_thread},
      {"qAttached", &GdbSession::attached},
      {"qSymbol:", &GdbSession::symbols},
      {"QStartNoAckMode", &GdbSession::without_acknowledgement},
  };
  for (const Query& query : kQueries) {
    Arguments arguments(request);
    if (!arguments.take(query.name)) continue;
    const std::string text = (this->*query.handler)(arguments);
    // A command may have sent a replay somewhere else.
    awaits_stop_ = awaits_command_ = target_->is_travelling();
    if (!awaits_stop_) return text;
    return std::nullopt;
  }
  return kUnknown;
}

// ---- going on and stopping ----

void GdbSession::go_on(bool step) {
  awaits_stop_ = true;
  if (step) {
    target_->control().step();
  } else {
    target_->control().resume();
  }
}

// bs and bc.
std::optional<std::string> GdbSession::go_back(Arguments arguments) {
  const bool steps = arguments.take('s');
  if (!steps && !arguments.take('c')) return kUnknown;
  if (!target_->can_go_back()) return kUnknown;
  if (!arguments.at_end()) return kMalformed;
  awaits_stop_ = true;
  if (!target_->go_back(steps ? DebugTarget::Back::Step : DebugTarget::Back::Continue)) {
    awaits_stop_ = false;
    return kRefused;
  }
  return std::nullopt;
}

// c, s, C and S, with an address to go on at and a signal that means nothing to a machine; vCont.
std::optional<std::string> GdbSession::resume(std::string_view request) {
  Arguments arguments(request);
  if (arguments.take("vCont?")) return "vCont;c;C;s;S";
  if (arguments.take("vCont;")) return resume_threads(arguments);
  if (arguments.take("vKill;")) return kill(arguments);
  if (request[0] == 'v') return kUnknown;
  const bool has_signal = arguments.take('C') || arguments.take('S');
  if (!has_signal) (void)(arguments.take('c') || arguments.take('s'));
  if (has_signal) {
    if (!arguments.take_number()) return kMalformed;
    if (!arguments.at_end() && !arguments.take(';')) return kMalformed;
  }
  if (!arguments.at_end()) {
    const std::optional<uint32_t> address = arguments.take_number();
    if (!address || !arguments.at_end()) return kMalformed;
    const auto eip = std::find_if(registers().begin(), registers().end(), [](const Register& each) {
      return each.kind == RegisterClass::InstructionPointer;
    });
    std::array<uint8_t, 4> bytes;
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(*address >> (8 * i));
    if (!target_->set_register(*eip, bytes)) return kRefused;
  }
  go_on(request[0] == 's' || request[0] == 'S');
  return std::nullopt;
}

// There is one thread: the first action is its.
std::optional<std::string> GdbSession::resume_threads(Arguments arguments) {
  const std::string_view action = without_thread(arguments.take_until(';'));
  if (action == "c" || action == "s") {
    go_on(action == "s");
    return std::nullopt;
  }
  Arguments with_signal(action);
  const bool step = with_signal.take('S');
  if (!step && !with_signal.take('C')) return kMalformed;
  if (!with_signal.take_number() || !with_signal.at_end()) return kMalformed;
  go_on(step);
  return std::nullopt;
}

void GdbSession::report_stop() {
  if (!awaits_stop_) return;
  awaits_stop_ = false;
  if (std::exchange(awaits_command_, false)) return reply(kOk);
  reply(stop_reply());
}

void GdbSession::report_end(uint8_t exit_code) {
  if (awaits_stop_) reply(fmt::format("W{:02x}", exit_code));
  over_ = true;
}

std::string GdbSession::stop_reply() const {
  const DebugStop& stop = target_->control().last_stop();
  std::string trap = std::string("T05thread:") + kThread + ";";
  switch (stop.cause) {
    case StopCause::None:
    case StopCause::Step:
      return trap;
    case StopCause::Asked:
      return std::string("T02thread:") + kThread + ";";
    case StopCause::Breakpoint:
      return trap + "swbreak:;";
    case StopCause::HardwareBreakpoint:
      return trap + "hwbreak:;";
    case StopCause::TapeBegin:
      return trap + "replaylog:begin;";
    case StopCause::TapeEnd:
      return trap + "replaylog:end;";
    case StopCause::Watch:
      break;
  }
  static constexpr const char* kNames[] = {"watch", "rwatch", "awatch"};
  return trap + fmt::format("{}:{:x};", kNames[static_cast<size_t>(stop.watched.kind)],
                            stop.watched.address.value());
}

std::string GdbSession::why(Arguments) { return stop_reply(); }

std::string GdbSession::detach(Arguments) {
  over_ = true;
  return kOk;
}

std::string GdbSession::kill(Arguments) {
  target_->quit();
  over_ = true;
  return kOk;
}

// ---- threads: the one processor ----

std::string GdbSession::select_thread(Arguments) { return kOk; }

std::string GdbSession::thread_is_alive(Arguments arguments) {
  return arguments.rest() == kThread ? kOk : kMalformed;
}

std::string GdbSession::first_threads(Arguments) { return std::string("m") + kThread; }
std::string GdbSession::more_threads(Arguments) { return "l"; }
std::string GdbSession::current_thread(Arguments) { return std::string("QC") + kThread; }
std::string GdbSession::attached(Arguments) { return "1"; }
std::string GdbSession::symbols(Arguments) { return kOk; }

std::string GdbSession::thread_information(Arguments) {
  const GuestState& state = target_->state();
  const char* activity = state.activity == ActivityState::Halted ? ", halted" : "";
  return to_hex(fmt::format("processor, CPL {}{}", state.cpl, activity));
}

// ---- the rest ----

std::string GdbSession::supported(Arguments) {
  return fmt::format(
      "PacketSize={:x};qXfer:features:read+;swbreak+;hwbreak+;vContSupported+;QStartNoAckMode+{}",
      kMostPayload, target_->can_go_back() ? ";ReverseStep+;ReverseContinue+" : "");
}

std::string GdbSession::without_acknowledgement(Arguments) {
  drops_acknowledgement_ = true;
  return kOk;
}

std::string GdbSession::transfer(Arguments arguments) {
  if (arguments.take_until(':') != "target.xml") return kMalformed;
  const std::optional<uint32_t> offset = arguments.take_number();
  if (!offset || !arguments.take(',')) return kMalformed;
  const std::optional<uint32_t> length = arguments.take_number();
  if (!length || !arguments.at_end()) return kMalformed;
  const std::string& document = target_description();
  if (*offset > document.size()) return kMalformed;
  const std::string part = document.substr(*offset, std::min<size_t>(*length, kMostPayload / 2));
  return (*offset + part.size() < document.size() ? "m" : "l") + part;
}

// The answer goes to gdb's console, piece by piece.
std::string GdbSession::run_command(Arguments arguments) {
  const std::optional<std::vector<uint8_t>> line = bytes_of_hex(arguments.rest());
  if (!line) return kMalformed;
  const std::string text = target_->run_command(std::string(line->begin(), line->end()));
  for (size_t at = 0; at < text.size(); at += kConsoleChunk) {
    reply("O" + to_hex(std::string_view(text).substr(at, kConsoleChunk)));
  }
  return kOk;
}

}  // namespace ringshift::debug
