# Runs in the guest (and, to make self-test.expected, on the host): what a small Unix needs, with
# output that is the same on every correct machine. Needs only busybox applets on PATH.
set -u
work=$(mktemp -d)
cd "$work" || exit 1

step() { echo "self-test: $*"; }

step arithmetic
i=0 sum=0 mixed=1
while [ $i -lt 20000 ]; do
  i=$((i + 1))
  sum=$((sum + i * i % 7))
  mixed=$(((mixed * 31 + i) % 1000003))
done
echo "sum $sum mixed $mixed"
echo "wide $((123456789123 * 1000 / 7)) shift $(((1 << 40) | 5)) negative $((-17 / 5)) $((-17 % 5))"
awk 'BEGIN { for (k = 1; k <= 20000; k++) s += k / (k + 0.5); printf "float %.9f %.9f\n", s, 355 / 113 }'

step files
seq 1 20000 >numbers
wc -l <numbers
sha256sum <numbers
md5sum <numbers
mkdir -p a/b/c
for name in one two three; do echo "content of $name" >"a/b/c/$name"; done
ln -s c/one a/b/symbolic
ln a/b/c/two a/b/hard
cat a/b/symbolic a/b/hard
mv a/b/c/three a/moved
find a | sort
chmod 640 a/moved
stat -c '%a %s' a/moved
rm -r a/b
ls a
dd if=numbers of=part bs=1000 skip=3 count=5 2>/dev/null
sha1sum <part

step text
grep -c 7 numbers
sed -n 's/^\(1[0-9]\)99$/<\1>/p' numbers | tr '\n' ' '
echo
awk '{ s += $1; x = (x * 33 + $1) % 65521 } END { print s, x }' numbers
sort -r numbers | head -n 3 | tr '\n' ' '
echo
sort -n -k1.2 numbers | sha256sum
printf 'b 2\na 1\nc 3\n' | sort | cut -d' ' -f2 | paste -s -d+
expr 6 \* 7

step compression
gzip -c numbers >numbers.gz
gunzip -c numbers.gz | cmp - numbers && echo 'gzip round trip'
bzip2 -c numbers | bunzip2 -c | cmp - numbers && echo 'bzip2 round trip'
tar -cf - numbers part | tar -tf -
dd if=/dev/urandom of=noise bs=4096 count=64 2>/dev/null
gzip -c noise | gunzip -c | cmp - noise && echo 'noise round trip'

step pipes
yes pipe | head -n 5000 | wc -c
seq 1 3000 | while read -r n; do echo $((n * 2)); done | awk '{ s += $1 } END { print s }'
mkfifo channel
(for n in 1 2 3; do echo "message $n"; done >channel) &
cat channel
wait

step processes
count=0
for n in $(seq 1 200); do
  (exit $((n % 5))) || count=$((count + $?))
done
echo "exit codes $count"
count=0
for n in $(seq 1 60); do count=$((count + $(/bin/sh -c "echo $n"))); done
echo "executed $count"
for n in 1 2 3 4; do
  (seq 1 $((n * 4000)) | md5sum >"job$n") &
done
wait
cat job1 job2 job3 job4
depth() { if [ "$1" -gt 0 ]; then (depth $(($1 - 1))); else echo 'nested deep'; fi; }
depth 20

step signals
# The child says through the channel that its traps stand, so that no signal comes early, and that it
# has heard the first, since a shell may run the trap of a second one before that of the first.
mkfifo heard
(
  trap 'echo "caught USR1"; echo caught >heard' USR1
  trap 'echo "caught TERM"; exit 7' TERM
  echo ready >channel
  while :; do :; done
) &
child=$!
read -r answer <channel
echo "$answer"
kill -USR1 $child
read -r answer <heard
kill -TERM $child
wait $child
echo "status $?"
sleep 1000 &
child=$!
kill -KILL $child
wait $child 2>/dev/null
echo "killed $?"
(trap '' INT; kill -INT $(sh -c 'echo $PPID'); echo 'ignored INT')
sh -c 'kill -SEGV $$' 2>/dev/null
echo "segmentation $?"
timeout 1 sh -c 'while :; do :; done' 2>/dev/null
echo "timeout $?"

cd / && rm -r "$work"
echo 'self-test: ok'
