// RunFolder: the folder in which a manager and its machines have their sockets, logs and locks: one
// user's, which nobody else can enter. Names files; owns none but a lock. See docs/machines.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringshift::manager {

inline constexpr size_t kLongestMachineName = 32;
// Letters, digits, - and _, beginning with a letter or a digit.
[[nodiscard]] bool is_machine_name(std::string_view name);

// The files of one machine in the folder.
struct MachineFolder {
  std::string path;
  [[nodiscard]] std::string keeper() const { return path + "/keeper"; }    // its keeper's socket
  [[nodiscard]] std::string console() const { return path + "/console"; }  // its console's
  [[nodiscard]] std::string qmp() const { return path + "/qmp"; }          // its own, for QMP
  [[nodiscard]] std::string lock() const { return path + "/lock"; }        // while it is kept
  [[nodiscard]] std::string command() const { return path + "/command"; }  // how it was started
  [[nodiscard]] std::string ended() const { return path + "/ended"; }      // how it has ended
  [[nodiscard]] std::string log() const { return path + "/log"; }
  // Open to the machine, for pictures of its screen; the newest whole one; one that is being made.
  [[nodiscard]] std::string open() const { return path + "/open"; }
  [[nodiscard]] std::string screen() const { return open() + "/screen.png"; }
  [[nodiscard]] std::string next_screen() const { return open() + "/next.png"; }
  [[nodiscard]] std::string statistics() const { return path + "/statistics"; }
};

struct RunFolder {
  std::string path;
  [[nodiscard]] std::string manager() const { return path + "/manager"; }  // a socket
  [[nodiscard]] std::string lock() const { return path + "/lock"; }
  [[nodiscard]] std::string events() const { return path + "/events"; }
  [[nodiscard]] std::string machines() const { return path + "/machines"; }
  // Pre: is_machine_name(name).
  [[nodiscard]] MachineFolder machine(const std::string& name) const {
    return {machines() + "/" + name};
  }
};

enum class IfAbsent { Make, Refuse };
// `wanted`: empty: $XDG_RUNTIME_DIR/ringshift, or /tmp/ringshift-UID. False with one line in
// *problem: it cannot be made, is somebody else's, can be entered by others, or is too long for the
// names of sockets.
[[nodiscard]] bool open_run_folder(const std::string& wanted, IfAbsent if_absent, RunFolder* folder,
                                   std::string* problem);
// The names of machines that have a folder, in order.
[[nodiscard]] std::vector<std::string> machine_names(const RunFolder& folder);
// Empty, for a machine that begins: the files of an earlier one are gone.
[[nodiscard]] bool make_machine_folder(const MachineFolder& folder, std::string* problem);
void remove_machine_folder(const MachineFolder& folder);

// The whole of it, up to so many bytes; nothing: it cannot be read.
inline constexpr size_t kMostOfAFile = size_t{1} << 20;
[[nodiscard]] std::optional<std::string> read_whole(const std::string& path,
                                                    size_t most = kMostOfAFile);
// Writes a file that is whole or not there. False with errno.
[[nodiscard]] bool write_whole(const std::string& path, std::string_view text);

// A lock that its holder's end releases, whatever ends it.
class FileLock {
 public:
  FileLock() = default;
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  // False: somebody else has it, or there can be no such file (errno).
  [[nodiscard]] bool take(const std::string& path);

 private:
  int descriptor_ = -1;
};

}  // namespace ringshift::manager
