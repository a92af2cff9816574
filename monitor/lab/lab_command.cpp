#include "monitor/lab/lab_command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "monitor/command/options/options.h"
#include "monitor/host/exit_codes.h"
#include "monitor/lab/all.h"
#include "monitor/lab/census/census.h"
#include "monitor/lab/clocks/clocks.h"
#include "monitor/lab/explorer/explorer.h"
#include "monitor/lab/machine_memory.h"
#include "monitor/lab/matrix/matrix_report.h"
#include "monitor/lab/paging.h"
#include "monitor/lab/parts/guests/demonstration_guest.h"
#include "monitor/lab/parts/html.h"
#include "monitor/lab/parts/lab_guest.h"
#include "monitor/lab/parts/progress.h"
#include "monitor/lab/three.h"
#include "monitor/lab/trap.h"
#include "monitor/lab/ways/ways.h"

namespace ringshift::lab {

struct LabArguments {
  CLI::App* lab = nullptr;
  CLI::App* all = nullptr;
  CLI::App* matrix = nullptr;
  CLI::App* census = nullptr;
  CLI::App* three = nullptr;
  CLI::App* trap = nullptr;
  CLI::App* paging = nullptr;
  CLI::App* memory = nullptr;
  CLI::App* time = nullptr;
  CLI::App* translate = nullptr;
  CLI::App* paravirt = nullptr;
  RunOptions guest;
  double run_seconds = 0;
  double seconds = 20;
  LockstepOptions lockstep;
  ExploreOptions explore;
  bool json = false;
  std::string html_path;
};

namespace {

int fail(const std::string& message) {
  std::fprintf(stderr, "ringshift: %s\n", message.c_str());
  return kExitUsage;
}

void add_output_options(CLI::App& command, LabArguments* arguments) {
  command.add_flag("--json", arguments->json, "print one JSON object instead of text");
  command.add_option("--html", arguments->html_path, "write a self-contained page there too")
      ->type_name("FILE");
}

// Prints one form and writes the page if one is wanted.
int deliver_report(const LabArguments& arguments, const std::string& text, const std::string& json,
                   const std::string& html) {
  std::fputs((arguments.json ? json : text).c_str(), stdout);
  std::string problem;
  if (!arguments.html_path.empty() && !write_page(arguments.html_path, html, &problem)) {
    return fail("--html: " + problem);
  }
  return kExitPowerOff;
}

// A guest, as `run` takes it, but for its console: nothing of it is printed.
void add_guest(CLI::App& command, LabArguments* arguments) {
  BootRequest& boot = arguments->guest.machine.boot;
  command.add_option("--initrd", boot.initrd_path, "initial RAM disk (Linux)")->type_name("FILE");
  command.add_option("--append", boot.command_line, "kernel command line")->type_name("TEXT");
  command.add_option("--module", arguments->guest.modules, "Multiboot module; may be repeated")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  command.add_option("--memory,-m", arguments->guest.memory, "guest RAM (default 128M)")
      ->type_name("SIZE");
  command.add_option("--cpu", arguments->guest.cpu, "processor shown to the guest, as for run")
      ->type_name("KEY=VALUE,...")
      ->delimiter(',')
      ->allow_extra_args(false);
}

int run_census(LabArguments& arguments) {
  std::string problem;
  if (!finish_guest(&arguments.guest, &problem)) return fail(problem);
  Census census;
  census.path = arguments.guest.machine.boot.kernel_path;
  const std::unique_ptr<CensusImage> image = CensusImage::open(census.path, &problem);
  if (image == nullptr) return fail(problem);
  census.kind = image->kind();
  census.remark = image->remark();
  count_image(*image, &census);
  if (arguments.run_seconds > 0) {
    if (!image->can_boot()) return fail("--run: " + census.path + " cannot be booted");
    if (!census_run(arguments.guest.machine, arguments.run_seconds, &census, &problem)) {
      return fail(problem);
    }
  }
  return deliver_report(arguments, census_as_text(census), census_as_json(census),
                        census_as_html(census, Company::Alone));
}

int run_three(LabArguments& arguments) {
  std::string problem;
  ThreeReport report;
  LabGuest guest;
  arguments.lockstep.seconds = arguments.seconds;
  if (!guest.choose(working_guest(), arguments.guest, &problem)) return fail(problem);
  report.image = guest.name();
  const bool is_ours = arguments.guest.machine.boot.kernel_path.empty();
  if (!measure_three(guest.machine(), arguments.lockstep, &report, &problem) ||
      (is_ours && !measure_neighbours(guest.machine(), &report.neighbours, &problem))) {
    return fail(problem);
  }
  return deliver_report(arguments, three_as_text(report), three_as_json(report),
                        three_as_html(report, Company::Alone));
}

int run_trap(LabArguments& arguments) {
  std::string problem;
  TrapReport report;
  LabGuest guest;
  if (!guest.choose(sensitive_guest(), arguments.guest, &problem)) return fail(problem);
  report.image = guest.name();
  if (!compare_engines(guest.machine(), arguments.seconds, &report, &problem)) return fail(problem);
  return deliver_report(arguments, trap_as_text(report), trap_as_json(report),
                        trap_as_html(report, Company::Alone));
}

int run_paging(LabArguments& arguments) {
  std::string problem;
  PagingReport report;
  LabGuest guest;
  if (!guest.choose(paging_guest(), arguments.guest, &problem)) return fail(problem);
  report.image = guest.name();
  if (!watch_paging(guest.machine(), arguments.seconds, &report, &problem)) return fail(problem);
  return deliver_report(arguments, paging_as_text(report), paging_as_json(report),
                        paging_as_html(report, Company::Alone));
}

// RAM of the guest that comes with the program: it needs no more, and all of it is seen.
MachineConfig with_small_memory(MachineConfig machine) {
  machine.memory_bytes = 16U << 20;
  return machine;
}

int run_memory(LabArguments& arguments) {
  std::string problem;
  MemoryReport report;
  LabGuest guest;
  if (!guest.choose(working_guest(), arguments.guest, &problem)) return fail(problem);
  report.image = guest.name();
  const bool is_ours = arguments.guest.machine.boot.kernel_path.empty();
  const MachineConfig machine = is_ours ? with_small_memory(guest.machine()) : guest.machine();
  if (!watch_memory(machine, arguments.seconds, &report, &problem)) return fail(problem);
  return deliver_report(arguments, memory_as_text(report), memory_as_json(report),
                        memory_as_html(report, Company::Alone));
}

int run_time(LabArguments& arguments) {
  std::string problem;
  ClocksReport report;
  LabGuest guest;
  if (!guest.choose(ticking_guest(), arguments.guest, &problem) ||
      !compare_clocks(guest.machine(), &report, &problem)) {
    return fail(problem);
  }
  return deliver_report(arguments, clocks_as_text(report), clocks_as_json(report),
                        clocks_as_html(report, Company::Alone));
}

int run_translate(LabArguments& arguments) {
  std::string problem;
  Exploration exploration;
  LabGuest guest;
  if (!guest.choose(working_guest(), arguments.guest, &problem)) return fail(problem);
  exploration.image = guest.name();
  // Ours ends by itself, soon: it is always run.
  constexpr double kOursSeconds = 20;
  const bool is_ours = arguments.guest.machine.boot.kernel_path.empty();
  arguments.explore.run_seconds =
      is_ours && arguments.run_seconds == 0 ? kOursSeconds : arguments.run_seconds;
  arguments.explore.skip = arguments.lockstep.skip;
  if (!explore(guest.machine(), arguments.explore, &exploration, &problem)) return fail(problem);
  return deliver_report(arguments, exploration_as_text(exploration),
                        exploration_as_json(exploration),
                        exploration_as_html(exploration, Company::Alone));
}

int run_all(LabArguments& arguments) {
  std::string problem;
  RunOptions ours = arguments.guest;
  ours.machine.boot = {};
  ours.modules.clear();
  LabGuest sensitive, working, paging, ticking, image;
  if (!sensitive.choose(sensitive_guest(), ours, &problem) ||
      !working.choose(working_guest(), ours, &problem) ||
      !paging.choose(paging_guest(), ours, &problem) ||
      !ticking.choose(ticking_guest(), ours, &problem) ||
      !image.choose(working_guest(), arguments.guest, &problem)) {
    return fail(problem);
  }
  const AllRequest request{arguments.html_path, arguments.seconds,
                           sensitive.machine(), working.machine(),
                           paging.machine(),    with_small_memory(working.machine()),
                           ticking.machine(),   image.machine(),
                           image.name(),        working.machine()};
  if (!write_all(request, &problem)) return fail(problem);
  std::printf("%s/index.html\n", request.folder.c_str());
  return kExitPowerOff;
}

int run_paravirt(LabArguments& arguments) {
  std::string problem;
  WaysReport report;
  LabGuest guest;
  if (!guest.choose(ways_guest(), arguments.guest, &problem) ||
      !measure_ways(guest.machine(), arguments.seconds, &report, &problem)) {
    return fail(problem);
  }
  return deliver_report(arguments, ways_as_text(report), ways_as_json(report),
                        ways_as_html(report, Company::Alone));
}

int run_matrix(const LabArguments& arguments) {
  const Matrix matrix = measure_matrix();
  return deliver_report(arguments, matrix_as_text(matrix), matrix_as_json(matrix),
                        matrix_as_html(matrix, Company::Alone));
}

void describe_translate(CLI::App& lab, LabArguments* arguments) {
  arguments->translate =
      lab.add_subcommand("translate", "guest code beside the host code it becomes");
  CLI::App& command = *arguments->translate;
  command.add_option("IMAGE", arguments->guest.machine.boot.kernel_path,
                     "bzImage or Multiboot (default: a guest that comes with ringshift)");
  command
      .add_option("--run", arguments->run_seconds,
                  "run it for so many seconds, and show what executed most; what comes with "
                  "ringshift always is run")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 86400.0));
  command
      .add_option("--skip", arguments->lockstep.skip,
                  "let it run for so many seconds before counting (default 0)")
      ->check(CLI::Range(0.0, 86400.0));
  command.add_option("--blocks", arguments->explore.blocks, "show so many at most (default 40)")
      ->check(CLI::Range(1U, 1000U));
  add_guest(command, arguments);
  add_output_options(command, arguments);
}

}  // namespace

LabCommand::LabCommand() : arguments_(std::make_unique<LabArguments>()) {}
LabCommand::~LabCommand() = default;

void LabCommand::describe(CLI::App& app) {
  LabArguments& arguments = *arguments_;
  arguments.lab = app.add_subcommand("lab", "demonstrations for the study of virtualization");
  arguments.lab->require_subcommand(0, 1);
  arguments.matrix = arguments.lab->add_subcommand(
      "matrix", "which instructions trap, which should: measured on this machine");
  add_output_options(*arguments.matrix, &arguments);
  arguments.census = arguments.lab->add_subcommand(
      "census", "count the sensitive instructions of a kernel image, and of a run");
  arguments.census
      ->add_option("IMAGE", arguments.guest.machine.boot.kernel_path, "ELF, bzImage or Multiboot")
      ->required();
  arguments.census
      ->add_option("--run", arguments.run_seconds, "boot it, and count for so many seconds")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 86400.0));
  add_guest(*arguments.census, &arguments);
  add_output_options(*arguments.census, &arguments);
  const auto add_run = [&](const char* name, const char* what) {
    CLI::App* command = arguments.lab->add_subcommand(name, what);
    command->add_option("IMAGE", arguments.guest.machine.boot.kernel_path,
                        "bzImage or Multiboot (default: a guest that comes with ringshift)");
    command->add_option("--seconds", arguments.seconds, "end a run then (default 20)")
        ->check(CLI::Range(0.1, 86400.0));
    add_guest(*command, &arguments);
    add_output_options(*command, &arguments);
    return command;
  };
  arguments.three =
      add_run("three", "equivalence, resource control and efficiency of a run, as numbers");
  arguments.three
      ->add_option("--every", arguments.lockstep.ram_every,
                   "compare RAM every so many instructions (default 5000000)")
      ->type_name("N")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 62));
  arguments.three
      ->add_option("--skip", arguments.lockstep.skip,
                   "let the guest run for so many seconds first (default 0)")
      ->check(CLI::Range(0.0, 86400.0));
  describe_translate(*arguments.lab, &arguments);
  arguments.all = arguments.lab->add_subcommand("all", "every page, in one folder, with an index");
  arguments.all->add_option("IMAGE", arguments.guest.machine.boot.kernel_path,
                            "a kernel to be counted (default: a guest that comes with ringshift)");
  arguments.all->add_option("--html", arguments.html_path, "the folder")
      ->type_name("DIR")
      ->required();
  arguments.all->add_option("--seconds", arguments.seconds, "end a run then (default 20)")
      ->check(CLI::Range(0.1, 86400.0));
  add_guest(*arguments.all, &arguments);
  arguments.trap = add_run("trap", "one guest interpreted, trapped and emulated, and translated");
  arguments.paging = add_run("paging", "the shadow page tables of a small guest, fault by fault");
  arguments.memory =
      add_run("memory", "whose memory is behind the pages of a guest whose machine was cloned");
  arguments.paravirt = arguments.lab->add_subcommand(
      "paravirt", "the same operations translated, by calls, and by trap-and-emulate");
  arguments.paravirt->add_option("--seconds", arguments.seconds, "end a run then (default 20)")
      ->check(CLI::Range(0.1, 86400.0));
  add_output_options(*arguments.paravirt, &arguments);
  arguments.time = arguments.lab->add_subcommand(
      "time", "a guest's clock and its ticks beside the host's clock, under each --time");
  add_output_options(*arguments.time, &arguments);
}

int LabCommand::run() {
  const auto parsed = arguments_->lab->get_subcommands();
  const Progress progress("lab" + (parsed.empty() ? "" : " " + parsed.front()->get_name()));
  if (arguments_->all->parsed()) return run_all(*arguments_);
  if (arguments_->matrix->parsed()) return run_matrix(*arguments_);
  if (arguments_->census->parsed()) return run_census(*arguments_);
  if (arguments_->three->parsed()) return run_three(*arguments_);
  if (arguments_->trap->parsed()) return run_trap(*arguments_);
  if (arguments_->translate->parsed()) return run_translate(*arguments_);
  if (arguments_->paravirt->parsed()) return run_paravirt(*arguments_);
  if (arguments_->paging->parsed()) return run_paging(*arguments_);
  if (arguments_->memory->parsed()) return run_memory(*arguments_);
  if (arguments_->time->parsed()) return run_time(*arguments_);
  return fail(
      "lab needs a part: all, matrix, trap, census, three, paging, memory, time, translate or "
      "paravirt (see ringshift lab --help)");
}

}  // namespace ringshift::lab
