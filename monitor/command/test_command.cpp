#include "monitor/command/test_command.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <regex>

#include "monitor/command/panic_watch.h"
#include "monitor/command/reports/test_report.h"
#include "monitor/host/children/piped_child.h"
#include "monitor/host/exit_codes.h"
#include "monitor/host/time/host_clock.h"
#include "shadowmmu/base/host_files.h"
#include "shadowmmu/base/number_text.h"

namespace ringshift {
namespace {

// As timeout(1) and container runners have them: the time is over; it could not be run at all.
constexpr int kExitTimeout = 124, kExitNoResult = 125;
constexpr Nanoseconds kSecond = 1'000'000'000;
constexpr size_t kMostLooked = 4096;           // of the console's end, for the prompt
constexpr size_t kMostKept = size_t{1} << 20;  // of an output, for the report
constexpr size_t kShownOfConsole = 2000;
constexpr char kEndOfScript[] = "RINGSHIFT_END_OF_SCRIPT";

int fail(const std::string& message) {
  std::fprintf(stderr, "ringshift: test: %s\n", message.c_str());
  return kExitUsage;
}

// One test in one machine.
class TestRun {
 public:
  TestRun(const TestOptions& options, PipedChild& child, Nanoseconds deadline)
      : options_(options),
        child_(child),
        deadline_(deadline),
        token_(fmt::format("{:x}", HostClock::wall_time())) {}

  // The exit code of all.
  [[nodiscard]] int run(const std::vector<std::string>& scripts) {
    if (scripts.empty()) return run_to_its_end();
    const Nanoseconds begin = HostClock::monotonic();
    if (!find_shell()) {
      results_.push_back({"the guest's shell", exit_code_, problem_, shown_console(),
                          HostClock::monotonic() - begin});
      return exit_code_;
    }
    for (const std::string& script : scripts) {
      if (const int code = run_script(script); code != 0) return code;
    }
    return 0;
  }
  [[nodiscard]] const std::vector<TestResult>& results() const { return results_; }

 private:
  // More of the console. False: there is none, and problem_ and exit_code_ say why.
  [[nodiscard]] bool read_more(const char* waiting_for) {
    if (HostClock::monotonic() >= deadline_) {
      problem_ = "no end within " + options_.timeout + " seconds, waiting for " + waiting_for;
      exit_code_ = kExitTimeout;
      return false;
    }
    std::string more;
    if (child_.read(deadline_, &more)) {
      std::erase(more, '\r');  // as a terminal has them
      console_ += more;
      if (!panic_.add(more)) return true;
      child_.end();  // nothing will happen in it any more
      problem_ = "the guest's kernel has panicked: " + panic_.why();
      exit_code_ = kExitNoResult;
      return false;
    }
    const int code = child_.wait(deadline_);
    problem_ =
        "the machine ended (exit code " + std::to_string(code) + "), waiting for " + waiting_for;
    exit_code_ = code == kExitUsage ? code : kExitNoResult;
    return false;
  }

  [[nodiscard]] std::string shown_console() const {
    return console_.size() > kShownOfConsole ? console_.substr(console_.size() - kShownOfConsole)
                                             : console_;
  }

  void complain() {
    const char* const what = console_.empty() ? "" : "\nringshift: test: the console's end:\n";
    std::fprintf(stderr, "ringshift: test: %s%s%s\n", problem_.c_str(), what,
                 shown_console().c_str());
  }

  // Text that has been searched is not searched again.
  void forget_console(size_t count) {
    if (options_.console) std::fwrite(console_.data(), 1, count, stderr);
    console_.erase(0, count);
  }

  // The prompt, and then a shell that neither prompts nor echoes.
  [[nodiscard]] bool find_shell() {
    // Shells that edit lines put sequences for terminals there, too.
    const std::regex ready(options_.ready), sequences("\x1b\\[[0-9;?]*[A-Za-z]");
    const auto is_ready = [&] {
      const size_t from = console_.size() > kMostLooked ? console_.size() - kMostLooked : 0;
      return std::regex_search(std::regex_replace(console_.substr(from), sequences, ""), ready);
    };
    while (!is_ready()) {
      if (read_more("its prompt (--ready)")) continue;
      complain();
      return false;
    }
    // The words are apart in the typed line, so that its echo is not taken for the answer. A shell
    // whose output is a pipe edits no lines, and asks for none.
    child_.type("stty -echo 2>/dev/null; printf 'ringshift-%s\\n' " + token_ +
                "; sh -s 2>&1 | cat\n");
    const std::string answer = "ringshift-" + token_ + "\n";
    while (console_.find(answer) == std::string::npos) {
      if (read_more("its shell to answer")) continue;
      complain();
      return false;
    }
    forget_console(console_.find(answer) + answer.size());
    return true;
  }

  // Whole lines are printed as they come; the end of one that may be the marker's is kept back.
  [[nodiscard]] int run_script(const std::string& script) {
    const Nanoseconds begin = HostClock::monotonic();
    TestResult result;
    result.name = script.substr(0, script.find('\n'));
    child_.type(std::string("sh -c \"$(cat <<'") + kEndOfScript + "'\n" + script + "\n" +
                kEndOfScript + "\n)\" </dev/null; printf 'ringshift-%s %d\\n' " + token_ + " $?\n");
    std::optional<int> code;
    while (!(code = take_output(&result.output))) {
      if (read_more("a command to end")) continue;
      complain();
      result.failure = problem_;
      code = exit_code_;
      break;
    }
    result.exit_code = *code;
    if (*code != 0 && result.failure.empty()) {
      result.failure = "exit code " + std::to_string(*code);
    }
    result.duration = HostClock::monotonic() - begin;
    results_.push_back(std::move(result));
    return *code;
  }

  // The exit code, once its marker has come.
  [[nodiscard]] std::optional<int> take_output(std::string* output) {
    const std::string marker_text = "ringshift-" + token_ + " ";
    const size_t marker = console_.find(marker_text);
    const size_t line = marker != std::string::npos ? console_.find('\n', marker) : marker;
    const bool is_over = line != std::string::npos;
    const size_t last = console_.rfind('\n', marker);
    const size_t count = is_over ? marker : last == std::string::npos ? 0 : last + 1;
    std::fwrite(console_.data(), 1, count, stdout);
    std::fflush(stdout);
    if (output->size() < kMostKept) output->append(console_, 0, count);
    if (!is_over) {
      console_.erase(0, count);
      return std::nullopt;
    }
    const size_t number = marker + marker_text.size();
    uint32_t code = 0;
    const bool good = parse_number(console_.substr(number, line - number), &code) && code < 256;
    console_.erase(0, line + 1);
    return good ? static_cast<int>(code) : kExitNoResult;
  }

  // The guest ends by itself: by power-off, or with a value at a debug-exit port.
  [[nodiscard]] int run_to_its_end() {
    const Nanoseconds begin = HostClock::monotonic();
    TestResult result;
    result.name = "guest";
    while (read_more("the guest's end")) {
      std::fwrite(console_.data(), 1, console_.size(), stdout);
      std::fflush(stdout);
      if (result.output.size() < kMostKept) result.output += console_;
      console_.clear();
    }
    result.duration = HostClock::monotonic() - begin;
    const int code = child_.wait(deadline_);
    if (exit_code_ == kExitTimeout || panic_.has_panicked()) {
      complain();
      result.failure = problem_;
    } else if (code == kExitPowerOff || code % 2 == 1) {
      exit_code_ = code >> 1;  // (value << 1) | 1
      if (exit_code_ != 0) result.failure = "exit code " + std::to_string(exit_code_);
    } else {
      std::fprintf(stderr, "ringshift: test: the machine ended with exit code %d\n", code);
      result.failure = "the machine ended with exit code " + std::to_string(code);
    }
    result.exit_code = exit_code_;
    results_.push_back(std::move(result));
    return exit_code_;
  }

  const TestOptions& options_;
  PipedChild& child_;
  Nanoseconds deadline_;
  // In the marks that end an output: nothing that the guest prints has it by chance.
  std::string token_;
  std::string console_;  // output that is not printed yet
  std::string problem_;
  PanicWatch panic_;
  int exit_code_ = 0;
  std::vector<TestResult> results_;
};

// Takes those of test's own out of the line; *rest are run's. False with a line in *problem.
bool take_options(const std::vector<std::string>& words, TestOptions* options,
                  std::vector<std::string>* rest, std::string* problem) {
  std::string command;
  const struct {
    const char* name;
    std::string* to;
  } kOwn[] = {{"--timeout", &options->timeout},
              {"--ready", &options->ready},
              {"--run", &command},
              {"--script", &options->script},
              {"--junit", &options->junit}};
  for (size_t i = 1; i < words.size(); ++i) {
    const std::string name = words[i].substr(0, words[i].find('='));
    std::string* to = nullptr;
    for (const auto& one : kOwn) to = name == one.name ? one.to : to;
    if (name == "--console") {
      options->console = true;
    } else if (to == nullptr) {
      rest->push_back(words[i]);
    } else if (name != words[i]) {
      *to = words[i].substr(name.size() + 1);
    } else if (++i < words.size()) {
      *to = words[i];
    } else {
      *problem = name + " needs a value";
      return false;
    }
    if (to == &command) options->commands.push_back(command);
  }
  return true;
}

bool read_script(const std::string& path, std::string* text, std::string* problem) {
  std::FILE* file = open_host_stream(path, FileUse::Read);
  if (file == nullptr) {
    *problem = "--script: cannot read " + path + ": " + std::strerror(errno);
    return false;
  }
  char bytes[4096];
  for (size_t count = 0; (count = std::fread(bytes, 1, sizeof(bytes), file)) != 0;) {
    text->append(bytes, count);
  }
  std::fclose(file);
  if (text->size() <= kMostKept && text->find('\0') == std::string::npos) return true;
  *problem = "--script: " + path + " is no text, or longer than 1 MiB";
  return false;
}

bool write_report(const std::string& path, const std::string& text) {
  std::FILE* file = open_host_stream(path, FileUse::Replace);
  bool written = file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (file != nullptr) written = std::fclose(file) == 0 && written;
  if (!written) {
    std::fprintf(stderr, "ringshift: test: --junit: cannot write %s: %s\n", path.c_str(),
                 std::strerror(errno));
  }
  return written;
}

bool is_regular_expression(const std::string& text) {
  try {
    const std::regex tried(text);
    return true;
  } catch (const std::regex_error&) {
    return false;
  }
}

}  // namespace

void describe_test(CLI::App& app, TestOptions* options) {
  CLI::App* test = app.add_subcommand(
      "test",
      "run a guest for its result: commands in it, or its own end; other options are run's");
  test->add_option("--run", options->commands, "a command for the guest's shell; may be repeated")
      ->type_name("COMMAND");
  test->add_option("--script", options->script, "a file of such commands")->type_name("FILE");
  test->add_option("--ready", options->ready,
                   "how the console ends when the shell is ready (default '[#$] $')")
      ->type_name("REGEX");
  test->add_option("--timeout", options->timeout, "for all of it (default 300; exit code 124)")
      ->type_name("SECONDS");
  test->add_option("--junit", options->junit, "write the results there, as JUnit's XML")
      ->type_name("FILE");
  test->add_flag("--console", options->console,
                 "print on standard error what comes before the commands");
  test->footer(
      "Exit codes: that of the first command that fails, or 0; without commands what the guest\n"
      "wrote to a debug-exit port, 0 if it powers off; 124 the time is over, 125 the machine "
      "ended\n"
      "without a result, 2 bad command line.\n"
      "Example:\n"
      "  ringshift test --kernel bzImage --initrd root.cpio.gz --append console=ttyS0 --run 'uname "
      "-r'\n");
}

bool is_test_line(const std::vector<std::string>& words) {
  const auto asks = [](const std::string& word) { return word == "--help" || word == "-h"; };
  return !words.empty() && words[0] == "test" && std::none_of(words.begin(), words.end(), asks);
}

int run_test_command(const std::vector<std::string>& words) {
  TestOptions options;
  std::vector<std::string> rest;
  std::string problem;
  if (!take_options(words, &options, &rest, &problem)) return fail(problem);
  uint32_t seconds = 0;
  if (!parse_number(options.timeout, &seconds) || seconds == 0) {
    return fail("--timeout: '" + options.timeout + "' is not a number of seconds");
  }
  if (!is_regular_expression(options.ready)) {
    return fail("--ready: '" + options.ready + "' is no regular expression");
  }
  std::vector<std::string> scripts = options.commands;
  if (!options.script.empty()) {
    scripts.emplace_back();
    if (!read_script(options.script, &scripts.back(), &problem)) return fail(problem);
  }
  const Nanoseconds deadline = HostClock::monotonic() + Nanoseconds{seconds} * kSecond;
  const std::unique_ptr<PipedChild> child = PipedChild::start(rest, &problem);
  if (child == nullptr) return fail(problem);
  TestRun run(options, *child, deadline);
  const int exit_code = run.run(scripts);
  child->end();
  const std::string suite = options.script.empty() ? "ringshift" : options.script;
  const bool reported =
      options.junit.empty() || write_report(options.junit, junit_text(suite, run.results()));
  return reported || exit_code != 0 ? exit_code : kExitHost;
}

}  // namespace ringshift
