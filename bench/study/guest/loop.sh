# The study's console in each guest and on the host: runs one line after the other, says when it is done.
# BUSYBOX, WORKLOADS, SYSROOT and SOURCES say where things are; the working directory is a tmpfs.
compile() {
  for file in "$SOURCES"/src/*.c; do
    name=${file##*/}
    [ "$name" = luac.c ] || tcc -c "$file" -o "built-$name.o" || return 1
  done
  tcc -r -o built.o built-*.o
}
tcc() {
  "$SYSROOT/lib/ld-linux.so.2" --library-path "$SYSROOT/lib" "$SYSROOT/usr/bin/tcc" -nostdinc \
    "-I$SYSROOT/usr/lib/i386-linux-gnu/tcc/include" "-I$SYSROOT/usr/include" \
    "-I$SYSROOT/usr/include/i386-linux-gnu" -DLUA_USE_POSIX "$@"
}
pack() { tar -cf - -C "$SOURCES" src doc | gzip | sha256sum; }
count() {
  i=0
  while [ $i -lt 20000 ]; do i=$((i + 1)); done
}
# Shell functions are timed from a process of their own.
if [ $# -gt 0 ]; then
  "$@"
  exit
fi
export BUSYBOX WORKLOADS SYSROOT SOURCES
echo 'study: ready'
while read -r line; do
  eval "$line"
  echo "study: done $?"
done
