#include "monitor/manager/manager_command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

#include "monitor/command/manual/describe_command.h"
#include "monitor/command/options/options.h"
#include "monitor/host/exit_codes.h"
#include "monitor/manager/console_client.h"
#include "monitor/manager/machines/keeper.h"
#include "monitor/manager/machines/machine_file.h"
#include "monitor/manager/machines/machine_table.h"
#include "monitor/manager/run_folder.h"
#include "monitor/manager/tiles.h"
#include "monitor/manager/up.h"

namespace ringshift::manager {

struct ManagerArguments {
  CLI::App *up = nullptr, *ps = nullptr, *stop = nullptr, *kill = nullptr, *logs = nullptr,
           *console = nullptr, *top = nullptr, *events = nullptr, *down = nullptr, *web = nullptr;
  std::string run_folder;
  std::string file, listen;
  std::vector<std::string> names;
  std::string name;
  bool all = false, follow = false, json = false, foreground = false, once = false;
  unsigned seconds = 10;
};

namespace {

int fail(const std::string& message) {
  std::fprintf(stderr, "ringshift: %s\n", message.c_str());
  return kExitUsage;
}

// Does this line make a machine, as far as that can be seen without the files it names?
bool is_good_line(const std::vector<std::string>& words, std::string* problem) {
  CLI::App app;
  RunOptions options;
  add_run_options(app, &options);
  const bool is_resumed = words[0] == "resume";
  std::vector<std::string> rest(words.begin() + (is_resumed ? 2 : 1), words.end());
  std::reverse(rest.begin(), rest.end());  // CLI11 takes them last first
  try {
    app.parse(rest);
  } catch (const CLI::ParseError& error) {
    *problem = error.what();
    return false;
  }
  // A saved machine's file tells the rest.
  if (is_resumed) return true;
  return finish_run_options(&options, problem);
}

std::string folder_of(const std::string& file) {
  const size_t slash = file.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : file.substr(0, slash);
}

// Names in the file begin at its folder, and are looked at from there.
int up(const ManagerArguments& arguments) {
  UpRequest request;
  std::string problem;
  if (!open_run_folder(arguments.run_folder, IfAbsent::Make, &request.folder, &problem)) {
    return fail(problem);
  }
  const std::optional<std::string> text = read_whole(arguments.file);
  if (!text) return fail("cannot read " + arguments.file + ": " + std::strerror(errno));
  if (chdir(folder_of(arguments.file).c_str()) != 0) {
    return fail("cannot enter the folder of " + arguments.file + ": " + std::strerror(errno));
  }
  CLI::App run;
  RunOptions options;
  add_run_options(run, &options);
  if (!read_machine_file(*text, arguments.file, manual::read_commands(run), is_good_line,
                         &request.machines, &problem)) {
    return fail(problem);
  }
  request.is_foreground = arguments.foreground;
  return run_up(request);
}

}  // namespace

ManagerCommand::ManagerCommand() : arguments_(std::make_unique<ManagerArguments>()) {}
ManagerCommand::~ManagerCommand() = default;

void ManagerCommand::describe(CLI::App& program) {
  ManagerArguments* const to = arguments_.get();
  const auto command = [&](const char* name, const char* what) {
    CLI::App* const added = program.add_subcommand(name, what);
    added
        ->add_option("--run-folder", to->run_folder,
                     "where the manager has its sockets and logs\n"
                     "(default $XDG_RUNTIME_DIR/ringshift)")
        ->type_name("DIR");
    return added;
  };
  const auto names = [&](CLI::App* of) {
    of->add_option("NAME", to->names, "machines")->type_name("");
    of->add_flag("--all", to->all, "all that are there");
  };
  const auto one_name = [&](CLI::App* of) {
    of->add_option("NAME", to->name, "a machine")->required()->type_name("");
  };
  const auto grace = [&](CLI::App* of) {
    of->add_option("--time", to->seconds,
                   "how long the guest has after its power button (default 10)")
        ->type_name("SECONDS");
  };
  to->up = command("up", "start the machines of a file, under a manager");
  to->up->add_option("FILE", to->file, "the machines, in TOML or JSON")
      ->required()
      ->type_name("FILE");
  to->up->add_flag("--foreground", to->foreground,
                   "be the manager, for systemd: events are printed, and its end ends all");
  to->up->footer(
      "Example:\n"
      "  [machine.web]\n"
      "  kernel = \"bzImage\"\n"
      "  initrd = \"root.cpio.gz\"\n"
      "  append = \"console=ttyS0\"\n"
      "  limit = { cpu = \"25%\" }\n");
  to->ps = command("ps", "list the machines of a manager");
  to->ps->add_flag("--json", to->json, "print one JSON object for each");
  to->stop = command("stop", "press the power button of machines; end those that do not listen");
  names(to->stop);
  grace(to->stop);
  to->kill = command("kill", "end machines at once");
  names(to->kill);
  to->logs = command("logs", "print what a machine has printed");
  one_name(to->logs);
  to->logs->add_flag("--follow", to->follow, "go on until it ends");
  to->console = command("console", "be at a machine's console; Ctrl-] leaves it");
  one_name(to->console);
  to->web = command("web", "serve a page with the screens of the machines");
  to->web
      ->add_option("--listen", to->listen,
                   "where: PORT of 127.0.0.1, or HOST:PORT (default: a free port)")
      ->type_name("[HOST:]PORT");
  to->top = command("top", "show what the machines use, and go on showing it");
  to->top->add_flag("--once", to->once, "show it once, of one second");
  to->events = command("events", "print what has happened to the machines");
  to->events->add_flag("--follow", to->follow, "go on");
  to->down = command("down", "stop all machines, and the manager");
  grace(to->down);
}

bool ManagerCommand::was_given() const {
  const ManagerArguments& to = *arguments_;
  const auto commands = {to.up,      to.ps,  to.stop,   to.kill, to.logs,
                         to.console, to.top, to.events, to.down, to.web};
  return std::any_of(commands.begin(), commands.end(),
                     [](const CLI::App* command) { return command->parsed(); });
}

int ManagerCommand::run() {
  const ManagerArguments& to = *arguments_;
  if (to.up->parsed()) return up(to);
  RunFolder folder;
  std::string problem;
  if (!open_run_folder(to.run_folder, IfAbsent::Refuse, &folder, &problem)) return fail(problem);
  if (to.logs->parsed() || to.console->parsed()) {
    if (!is_machine_name(to.name)) return fail("'" + to.name + "' is no name of a machine");
    const MachineFolder machine = folder.machine(to.name);
    if (to.console->parsed()) return be_at_console(to.name, machine);
    return print_log(to.name, machine, to.follow ? Follow::UntilItEnds : Follow::No);
  }
  if (to.ps->parsed()) return list_machines(folder, to.json);
  if (to.events->parsed()) return print_events(folder, to.follow);
  if (to.down->parsed()) return end_all(folder, to.seconds);
  if (to.web->parsed()) return serve_tiles(folder, to.listen);
  if (to.top->parsed()) return show_top(folder, to.once);
  if (to.names.empty() == !to.all) return fail("the names of machines, or --all");
  return end_machines(folder, {to.names, to.all, to.kill->parsed(), to.seconds});
}

bool is_keeper_line(const std::vector<std::string>& words) {
  return words.size() == 2 && words[0] == "keep";
}

int run_keeper(const std::vector<std::string>& words) {
  Keeper keeper({words[1]});
  return keeper.run();
}

}  // namespace ringshift::manager
