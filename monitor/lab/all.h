// All: every page of the laboratory in one folder, with an index that tells the story in order, and
// each picture as a file for slides. The pages' text states the findings of these runs. See
// docs/lab.md.
#pragma once

#include <string>

#include "monitor/machine/machine.h"

namespace ringshift::lab {

struct AllRequest {
  std::string folder;   // made if it is not there
  double seconds = 20;  // for each run
  // Guests ready to run: those that come with the program, and the one to be counted and
  // translated, which may be any.
  MachineConfig sensitive, working, paging, memory, ticking, image;
  std::string image_name;
  MachineConfig bare;  // without a guest
};

// Tells on standard error which page it is at. False with one line in *error.
[[nodiscard]] bool write_all(const AllRequest& request, std::string* error);

}  // namespace ringshift::lab
