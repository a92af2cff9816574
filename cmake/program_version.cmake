# Writes the source of program_version(), if it is to change: run by each build.
# usage: cmake -DSOURCE_DIR=... -DNUMBER=... -DCOMMIT=... -DOUTPUT=... -P program_version.cmake
#   COMMIT  what to say instead of asking git; may be empty
set(commit "${COMMIT}")
find_program(GIT git)
if(NOT commit AND GIT)
  # A tarball that lies in somebody else's repository is not of that repository's commit.
  execute_process(COMMAND ${GIT} -C ${SOURCE_DIR} rev-parse --show-prefix
    RESULT_VARIABLE failed OUTPUT_VARIABLE prefix ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT failed AND prefix STREQUAL "")
    execute_process(COMMAND ${GIT} -C ${SOURCE_DIR} describe --always --dirty --abbrev=12
      RESULT_VARIABLE failed OUTPUT_VARIABLE commit ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  endif()
endif()
if(NOT commit)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT [[
// Made by cmake/program_version.cmake.
#include "monitor/program_version.h"

namespace ringshift {

ProgramVersion program_version() { return {"@NUMBER@", "@commit@"}; }

}  // namespace ringshift
]])
