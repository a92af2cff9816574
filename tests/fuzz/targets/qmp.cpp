// The lines that a control program may send: QMP and a monitor's, whole, in parts, or nonsense.
// Memory stays bounded, every answer is JSON on a line of its own, and the next line is heard.
#include <span>
#include <string>
#include <string_view>

#include "monitor/control/monitor_session.h"
#include "monitor/control/qmp_session.h"
#include "shadowmmu/base/check.h"
#include "tests/fuzz/targets/fuzz_bytes.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/support/control_fixture.h"

namespace ringshift::fuzz {
namespace {

using control::ControlSession;

// Hands over the text in the parts that the socket's thread could make of it.
void pour(ControlSession& session, debug::FakeControl& target, std::string_view text, size_t part) {
  while (!text.empty()) {
    const std::string_view now = text.substr(0, part == 0 ? text.size() : part);
    text.remove_prefix(now.size());
    std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(now.data()), now.size());
    while (session.take(&bytes, target)) {
    }
    CHECK(bytes.empty());
  }
}

// Every line is a JSON object; the last one of them says how many there were.
void check_answers(const std::string& said) {
  size_t at = 0;
  while (at < said.size()) {
    const size_t end = said.find("\r\n", at);
    CHECK(end != std::string::npos);
    control::JsonValue value;
    size_t wrong = 0;
    CHECK(control::parse_json(std::string_view(said).substr(at, end - at), &value, &wrong));
    CHECK(value.find("return") != nullptr || value.find("error") != nullptr);
    at = end + 2;
  }
}

void speak_qmp(FuzzBytes& bytes) {
  debug::FakeControl target;
  std::string said;
  control::QmpSession session([&](std::string_view text) { said += text; }, "1.2.3", false);
  if (bytes.below(8) != 0) pour(session, target, "{\"execute\": \"qmp_capabilities\"}\n", 0);
  const size_t part = bytes.u8();
  // A long text now and then: what repeats does not make the input large.
  const size_t repeats = bytes.below(16) == 0 ? 3000 : 1;
  const std::string text = bytes.text(4096);
  for (size_t i = 0; i < repeats; ++i) pour(session, target, text, part);
  check_answers(said);
  CHECK(target.input.size() <= 64 * (text.size() + 1) * repeats);
  said.clear();
  // These bytes end whatever was begun: a string, brackets, a line that is passed over.
  pour(session, target, "\"" + std::string(control::MessageReader::kLongest, '\n') + "\n", 0);
  said.clear();
  pour(session, target, "{\"execute\": \"none such\", \"id\": 4711}\n", 0);
  CHECK(said.find("4711") != std::string::npos);
}

void speak_lines(FuzzBytes& bytes) {
  debug::FakeControl target;
  size_t said = 0;
  control::MonitorSession session([&](std::string_view text) { said += text.size(); }, "1.2.3");
  const size_t part = bytes.u8();
  const std::string text = bytes.text(4096);
  pour(session, target, text, part);
  CHECK(said <= 40000 * (text.size() + 1));
  said = 0;
  pour(session, target, "\ninfo version\n", 0);
  CHECK(said != 0);
}

}  // namespace

void fuzz_qmp(std::span<const uint8_t> input) {
  FuzzBytes bytes(input);
  if (bytes.below(4) == 0) return speak_lines(bytes);
  speak_qmp(bytes);
}

}  // namespace ringshift::fuzz
