#include "monitor/manager/up.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "monitor/host/children/daemon.h"
#include "monitor/host/control_group.h"
#include "monitor/host/exit_codes.h"
#include "monitor/manager/asker.h"
#include "monitor/manager/manager.h"

namespace ringshift::manager {
namespace {

using control::JsonValue;
using Object = JsonValue::Object;

int fail(const std::string& message) {
  std::fprintf(stderr, "ringshift: %s\n", message.c_str());
  return kExitUsage;
}

// Starts a manager in the background, unless one runs. The call returns in the manager's process,
// too, with the exit code of the manager's end.
struct Begun {
  bool is_manager = false;  // this process was it
  int exit_code = 0;        // not 0: there is none
};

Begun begin_manager(const RunFolder& folder) {
  if (Wire::to(folder.manager()).is_open()) return {};
  // Descriptors that the launcher has left open are closed: the manager would keep them for months.
  (void)close_range(STDERR_FILENO + 1, ~0U, 0);
  Daemon daemon;
  int exit_code = 0;
  std::string problem;
  switch (daemon.start(&exit_code, &problem)) {
    case Daemon::Side::Parent:
      return {false, exit_code};
    case Daemon::Side::Failed:
      return {false, fail(problem)};
    case Daemon::Side::Child:
      break;
  }
  (void)!chdir("/");
  (void)make_room_for_groups();
  Manager manager(folder);
  switch (manager.open(&problem)) {
    case Manager::Opened::IsRunning:
      daemon.note_ready();
      return {true, 0};
    case Manager::Opened::No:
      return {true, fail(problem)};
    case Manager::Opened::Yes:
      break;
  }
  daemon.note_ready();
  return {true, manager.run()};
}

std::string current_folder() {
  const std::unique_ptr<char, void (*)(void*)> here(getcwd(nullptr, 0), std::free);
  return here != nullptr ? here.get() : "/";
}

// Asks the manager for the machines of a file.
int ask_for_machines(const UpRequest& request) {
  Asker asker;
  std::string problem;
  if (!asker.connect(request.folder, &problem)) return fail(problem);
  std::vector<std::string> names;
  for (const MachineSpec& machine : request.machines) {
    names.push_back(machine.name);
    asker.say(Object{{"do", "add"},
                     {"name", machine.name},
                     {"folder", current_folder()},
                     {"words", array_of(machine.words)}});
  }
  asker.say(Object{{"do", "wait"}, {"names", array_of(names)}});
  bool all_good = true;
  const int exit_code = asker.listen([&](const JsonValue& answer) {
    const std::string name = text_of(answer, "name"), end = text_of(answer, "end");
    const std::string how = end.empty() ? text_of(answer, "state") : "ended: " + end;
    std::printf("%s: %s\n", name.c_str(), how.c_str());
    all_good = all_good && number_of(answer, "code") == 0 && how != "starting";
    return true;
  });
  std::fflush(stdout);
  return exit_code == 0 && !all_good ? kExitHost : exit_code;
}

// The manager itself; the machines are asked for by a process beside it.
int be_manager(const UpRequest& request) {
  (void)make_room_for_groups();
  Manager manager(request.folder);
  std::string problem;
  manager.set_echo(true);
  switch (manager.open(&problem)) {
    case Manager::Opened::IsRunning:
      return fail("a manager runs at " + request.folder.path + " already");
    case Manager::Opened::No:
      return fail(problem);
    case Manager::Opened::Yes:
      break;
  }
  const pid_t asker = fork();
  if (asker < 0) return fail(std::string("no process: ") + std::strerror(errno));
  if (asker == 0) _exit(ask_for_machines(request));
  (void)!chdir("/");
  return manager.run();
}

}  // namespace

int run_up(const UpRequest& request) {
  if (request.is_foreground) return be_manager(request);
  const Begun begun = begin_manager(request.folder);
  if (begun.is_manager || begun.exit_code != 0) return begun.exit_code;
  return ask_for_machines(request);
}

int end_all(const RunFolder& folder, unsigned grace_seconds) {
  const Begun begun = begin_manager(folder);
  if (begun.is_manager || begun.exit_code != 0) return begun.exit_code;
  Asker asker;
  std::string problem;
  if (!asker.connect(folder, &problem)) return fail(problem);
  asker.say(Object{{"do", "down"}, {"seconds", static_cast<int64_t>(grace_seconds)}});
  return asker.listen([](const JsonValue& answer) {
    std::printf("%s: %s\n", text_of(answer, "name").c_str(), text_of(answer, "end").c_str());
    return true;
  });
}

}  // namespace ringshift::manager
