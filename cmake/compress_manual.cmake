# Run by CPack between installing into its own folder and making the package of it.
file(GLOB_RECURSE pages ${CPACK_TEMPORARY_DIRECTORY}/ringshift.1)
foreach(page ${pages})
  execute_process(COMMAND gzip -9 --no-name --force ${page} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
