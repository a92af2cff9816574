// ControlGroup: a control group of the host's for one machine, where the host has delegated one
// (cgroup v2: Linux, Documentation/admin-guide/cgroup-v2.rst, "Delegation"). A group made here
// lasts until the host removes it: an empty one is removed when the next machine begins, or with
// the unit that it belongs to. See docs/machines.md, "Limits".
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ringshift {

// 0: nothing is said of it.
struct GroupLimits {
  unsigned cpu_percent = 0;  // of one host CPU: 1 to 100, all threads and processes together
  unsigned cpu_weight = 0;   // beside other groups of the same parent: 1 to 100
  uint64_t memory_min = 0;   // bytes that the host takes back last
};

// The group in which those of machines are made: it belongs to the user, or its maker has said that
// it is given away (user.delegate, trusted.delegate: systemd's marks).
struct DelegatedGroup {
  std::string folder;  // in the host's file system
  bool has_processes =
      false;  // ours among them: it gives its children nothing while they are there
};

// For tests: where /proc and /sys are, and whose a folder must be.
struct GroupHost {
  std::string root;  // before /proc and /sys
  std::optional<uint32_t> user;
};

// This process's group below where version 2 is mounted: "/" or "/a/b". Empty: there is none. root:
// the path in front of /proc.
[[nodiscard]] std::string own_group_path(const std::string& root);

// The process's own group, or the one around it for the machines of a manager, if it is delegated.
[[nodiscard]] std::optional<DelegatedGroup> find_delegated_group(const GroupHost& host = {});

// The one at `folder`, which the user has named.
[[nodiscard]] DelegatedGroup named_group(const std::string& folder, const GroupHost& host = {});

// Makes a group in `parent` and moves this process there, and all that it starts from now on.
// Nothing: the host refuses, with one line in *problem; then all is as it was.
// Pre: no other thread runs. Returns the new group's folder.
[[nodiscard]] std::optional<std::string> enter_group_of_its_own(const DelegatedGroup& parent,
                                                                const GroupLimits& limits,
                                                                std::string* problem);

// For one that starts machines: makes a group for itself, so that the delegated one may give
// its children shares. False: it may not, and everything is as it was.
bool make_room_for_groups(const GroupHost& host = {});

}  // namespace ringshift
