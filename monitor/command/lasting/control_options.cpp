#include "monitor/command/lasting/control_options.h"

#include <sys/stat.h>

#include <CLI/App.hpp>

#include "monitor/command/options/socket_words.h"

namespace ringshift {
namespace {

constexpr size_t kMostSockets = 8;

bool parse_one(const std::string& text, control::ControlRequest request, ControlOptions* options,
               std::string* problem) {
  const auto take_pretty = [&](const KeyValue& item) {
    if (item.key != "pretty" || !request.speaks_qmp) return false;
    request.pretty = true;
    return item.value.empty() || parse_on_off(item.value, &request.pretty);
  };
  SocketWords words;
  if (!parse_socket_words(text, take_pretty, &words)) {
    *problem = request.option + ": cannot use '" + text +
               "' (unix:PATH or tcp:[HOST]:PORT; server=on|off, wait=on|off)";
    return false;
  }
  request.where = words.where;
  request.waits = words.waits;
  if (request.where.connects && request.waits) {
    *problem = request.option + ": server=off connects at once, and has nobody to wait for";
    return false;
  }
  options->requests.push_back(request);
  return true;
}

}  // namespace

void add_control_options(CLI::App& command, ControlOptions* options) {
  const auto socket = [&](const char* name, std::vector<std::string>* to, const char* what) {
    command.add_option(name, *to, what)
        ->type_name("WHERE[,KEY=on]")
        ->allow_extra_args(false)
        ->group("Control");
  };
  socket("--qmp", &options->qmp,
         "let a program control the machine by QMP: unix:PATH, tcp:[HOST]:PORT;\n"
         "wait=on: the guest waits for it; server=off: connect there");
  socket("--qmp-pretty", &options->qmp_pretty, "the same with indented answers");
  socket("--monitor", &options->monitor, "the same for a person: the commands of Ctrl-A c");
  command
      .add_option("--control-folder", options->folder,
                  "where those, and the prompt, may have files written and read")
      ->type_name("DIR")
      ->group("Control");
  command.add_option("--name", options->name, "what the machine is called, for those who ask")
      ->type_name("TEXT")
      ->group("Control");
}

bool finish_control_options(ControlOptions* options, std::string* problem) {
  for (const std::string& text : options->qmp) {
    if (!parse_one(text, {.where = {}, .option = "--qmp"}, options, problem)) return false;
  }
  for (const std::string& text : options->qmp_pretty) {
    const control::ControlRequest request{.where = {}, .option = "--qmp-pretty", .pretty = true};
    if (!parse_one(text, request, options, problem)) return false;
  }
  for (const std::string& text : options->monitor) {
    if (text == "none" || text == "stdio") continue;  // the prompt is at the console
    const control::ControlRequest request{.where = {}, .option = "--monitor", .speaks_qmp = false};
    if (!parse_one(text, request, options, problem)) return false;
  }
  if (options->requests.size() > kMostSockets) {
    *problem = "--qmp, --monitor: " + std::to_string(kMostSockets) + " sockets are the most";
    return false;
  }
  struct stat status {};
  if (!options->folder.empty() &&
      (stat(options->folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))) {
    *problem = "--control-folder: " + options->folder + " is no folder";
    return false;
  }
  return true;
}

}  // namespace ringshift
