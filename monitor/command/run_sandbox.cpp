#include "monitor/command/run_sandbox.h"

#include <vector>

#include "monitor/command/options/port_options.h"
#include "shadowmmu/base/host_files.h"
#include "translator/perf_map.h"

namespace ringshift {
namespace {

// Every file that may be opened while a machine is built, runs or ends.
std::vector<NamedFile> named_files(const RunOptions& options) {
  const MachineConfig& machine = options.machine;
  std::vector<NamedFile> files = {{machine.boot.kernel_path, FileUse::Read},
                                  {machine.boot.initrd_path, FileUse::Read},
                                  {machine.firmware_log, FileUse::Replace},
                                  {options.screendump, FileUse::Replace},
                                  {options.digest, FileUse::Replace},
                                  {options.debug.gdb.path, FileUse::Remove},
                                  {options.pid_file, FileUse::Remove},
                                  {options.display_request.vnc.unix_path, FileUse::Remove},
                                  {options.display_request.password_file, FileUse::Read},
                                  {machine.firmware.video_bios_path, FileUse::Read},
                                  {machine.network.dump_path, FileUse::Replace}};

  for (const BootModule& module : machine.boot.modules) {
    files.push_back({module.path, FileUse::Read});
  }
  if (!machine.firmware.bios_path.empty()) {
    files.push_back({machine.firmware.bios_path, FileUse::Read});
  }
  for (const FirmwareFile& file : machine.firmware.files) {
    files.push_back({file.path, FileUse::Read});
  }
  if (machine.network.peer.listens) {
    files.push_back({machine.network.peer.path, FileUse::Remove});
  }
  if (!machine.save.path.empty()) {
    files.push_back({machine.save.path + kPartSuffix, FileUse::Replace});
    files.push_back({machine.save.path, FileUse::TakePlace});
  }
  for (const control::ControlRequest& request : options.control.requests) {
    if (!request.where.connects) files.push_back({request.where.path, FileUse::Remove});
  }
  for (const PortTarget* port : all_ports(machine.ports)) {
    files.push_back({port->path, FileUse::Replace});
    const SocketAddress& where = port->request.where;
    const bool is_made_by_us = where.kind == SocketAddress::Kind::Unix && !where.connects;
    if (is_made_by_us) files.push_back({where.path, FileUse::Remove});
    if (where.again_after.count() != 0) files.push_back({where.name(), FileUse::Connect});
  }
  files.push_back({options.control.folder, FileUse::Folder});
  for (const std::string& where : options.migration.to) files.push_back({where, FileUse::Connect});
  if (options.replica.reconnect != 0) files.push_back({options.replica.where, FileUse::Connect});
  files.push_back({incoming_socket_path(options.migration), FileUse::Remove});
  files.push_back({machine.resume_path, FileUse::Read});
  if (!options.record.empty()) files.push_back({kept_machine_path(options.record), FileUse::Read});
  if (machine.translator.perf_map) {
    files.push_back({PerfMap::path_of_this_process(), FileUse::Replace});
  }
  return files;
}

}  // namespace

RunSandbox::~RunSandbox() { set_file_opener(nullptr); }

bool RunSandbox::prepare(const RunOptions& options, std::string* problem) {
  how_ = options.sandbox;
  if (how_ == Sandbox::Off) return true;
  std::string why = "this build has a sanitizer";
  if (can_be_confined()) broker_ = FileBroker::start(named_files(options), &why);
  if (broker_ != nullptr || how_ == Sandbox::On) return true;
  *problem = "--sandbox require: " + why;
  return false;
}

bool RunSandbox::close(ConfinementOutcome* outcome, std::string* problem) {
  if (broker_ == nullptr) return true;
  *outcome = confine_this_process();
  set_file_opener(broker_.get());
  if (outcome->missing.empty() || how_ == Sandbox::On) return true;
  *problem = "--sandbox require: this host does not offer " + outcome->missing;
  return false;
}

}  // namespace ringshift
