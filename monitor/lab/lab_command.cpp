#include "monitor/lab/lab_command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "monitor/command_line.h"
#include "monitor/lab/html.h"
#include "monitor/lab/matrix_report.h"

namespace ringshift::lab {

struct LabArguments {
  CLI::App* lab = nullptr;
  CLI::App* matrix = nullptr;
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

int run_matrix(const LabArguments& arguments) {
  const Matrix matrix = measure_matrix();
  return deliver_report(arguments, matrix_as_text(matrix), matrix_as_json(matrix),
                        matrix_as_html(matrix));
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
}

int LabCommand::run() {
  if (arguments_->matrix->parsed()) return run_matrix(*arguments_);
  return fail("lab needs a part: matrix (see ringshift lab --help)");
}

}  // namespace ringshift::lab
