// ProgramVersion: the program's version number and commit. The number is CMake's project version;
// the commit is asked for by each build (cmake/program_version.cmake). Only main() needs to know.
#pragma once

namespace ringshift {

struct ProgramVersion {
  const char* number = "0";
  const char* commit = "unknown";  // as git describes it; a tarball has none
};

// Defined in a source that the build makes, and that is part of the program `ringshift` alone: a
// new commit compiles that one source and links that one program.
[[nodiscard]] ProgramVersion program_version();

}  // namespace ringshift
