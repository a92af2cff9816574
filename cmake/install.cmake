# What `cmake --install` installs, and the Debian package. See docs/packaging.md.
include(GNUInstallDirs)

# The program writes these itself, from its own option tables.
set(made ${CMAKE_BINARY_DIR}/installed)
set(described man:ringshift.1 bash:ringshift.bash zsh:_ringshift)
set(described_files "")
foreach(pair ${described})
  string(REPLACE ":" ";" pair ${pair})
  list(GET pair 0 form)
  list(GET pair 1 name)
  add_custom_command(OUTPUT ${made}/${name}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${made}
    COMMAND ringshift describe ${form} > ${made}/${name}
    DEPENDS ringshift VERBATIM)
  list(APPEND described_files ${made}/${name})
endforeach()
add_custom_target(ringshift_descriptions ALL DEPENDS ${described_files})

install(TARGETS ringshift RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
install(FILES ${made}/ringshift.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT program)
install(FILES ${made}/ringshift.bash RENAME ringshift
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT program)
install(FILES ${CMAKE_SOURCE_DIR}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/docs DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)
install(FILES ${CMAKE_SOURCE_DIR}/cmake/ringshift.service DESTINATION lib/systemd/user COMPONENT program)
# What a Debian package has elsewhere.
install(FILES ${made}/_ringshift
  DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions COMPONENT elsewhere)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT elsewhere)
install(FILES ${made}/_ringshift DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions
  COMPONENT debian EXCLUDE_FROM_ALL)
install(FILES ${CMAKE_SOURCE_DIR}/cmake/debian/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR}
  COMPONENT debian EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "virtual machine for 32-bit x86 guests, without privileges")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
  "Ringshift runs unmodified 32-bit x86 operating systems as an ordinary process:\n\
 it needs no KVM, no kernel module, no root and no capability. It translates the\n\
 guest's kernel code, runs its user code directly, and understands the command\n\
 lines of qemu-system-i386.")
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "The Ringshift authors <ringshift@localhost>" CACHE STRING
  "who maintains the Debian package")
set(CPACK_DEBIAN_PACKAGE_SECTION otherosfs)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# A machine with disks begins in SeaBIOS; images that are not raw are served by qemu-nbd.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "seabios")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "qemu-utils, gdb")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_CMAKE_PROJECTS
  "${CMAKE_BINARY_DIR};ringshift;program;/;${CMAKE_BINARY_DIR};ringshift;debian;/")
# Debian compresses manual pages, without the time in them.
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_SOURCE_DIR}/cmake/compress_manual.cmake)
include(CPack)
