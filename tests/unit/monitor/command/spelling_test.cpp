#include "monitor/command/qemu/spelling.h"

#include <gtest/gtest.h>

#include <map>

#include "monitor/command/qemu/words.h"

namespace ringshift {
namespace {

using Words = std::vector<std::string>;

std::optional<bool> takes_value(const std::string& name) {
  static const std::map<std::string, bool> kOptions = {
      {"--kernel", true}, {"--append", true},     {"--memory", true}, {"--hda", true},
      {"--stats", true},  {"--no-reboot", false}, {"--serial", true}, {"--device", true}};
  const auto found = kOptions.find(name);
  if (found == kOptions.end()) return std::nullopt;
  return found->second;
}

SpelledLine spelled(const Words& typed) { return spell(typed, takes_value); }

// Without the command, which is `run`.
Words words_of(const Words& typed) {
  SpelledLine line = spelled(typed);
  EXPECT_EQ(line.problem, "");
  if (line.words.empty() || line.words[0] != "run") return {"not run"};
  line.words.erase(line.words.begin());
  return line.words;
}

std::string note_of(const Words& typed) {
  const SpelledLine line = spelled(typed);
  EXPECT_EQ(line.problem, "");
  return line.note;
}

std::string problem_of(const Words& typed) { return spelled(typed).problem; }

TEST(Spelling, ALineThatBeginsWithAnOptionMeansRun) {
  EXPECT_EQ(spelled({"--kernel", "k"}).words, (Words{"run", "--kernel", "k"}));
  EXPECT_EQ(spelled({"-kernel", "k", "-append", "quiet", "-m", "64", "-no-reboot"}).words,
            (Words{"run", "--kernel", "k", "--append", "quiet", "--memory", "64", "--no-reboot"}));
}

TEST(Spelling, HelpAndVersionBelongToNoCommand) {
  for (const char* word : {"--help", "-h", "-help"}) {
    EXPECT_EQ(spelled({word}).words, (Words{"--help"})) << word;
  }
  for (const char* word : {"--version", "-version"}) {
    EXPECT_EQ(spelled({word}).words, (Words{"--version"})) << word;
  }
}

TEST(Spelling, OtherCommandsHaveFewSingleDashes) {
  EXPECT_EQ(spelled({"doctor", "--json"}).words, (Words{"doctor", "--json"}));
  EXPECT_EQ(spelled({"translate", "-kernel", "k", "-m", "64"}).words,
            (Words{"translate", "--kernel", "k", "--memory", "64"}));
  EXPECT_EQ(problem_of({"translate", "-hda", "d"}),
            "-hda is of ringshift run, not of this command");
  EXPECT_EQ(spelled({"lab", "three", "image"}).words, (Words{"lab", "three", "image"}));
}

TEST(Spelling, NothingAtAllIsLeftToTheParser) { EXPECT_EQ(spelled({}).words, Words{}); }

TEST(Spelling, AFirstWordIsACommandOrAFile) {
  EXPECT_EQ(problem_of({""}),
            "'' is neither a command (run, resume, replay, translate, doctor, lab) nor a file");
  EXPECT_EQ(
      problem_of({"dcotor"}),
      "'dcotor' is neither a command (run, resume, replay, translate, doctor, lab) nor a file");
  EXPECT_EQ(words_of({"/dev/null"}), (Words{"--hda", "/dev/null"}));
}

TEST(Spelling, ABareNameIsADiskWhereverItStands) {
  EXPECT_EQ(words_of({"-m", "64", "disk.img"}), (Words{"--memory", "64", "--hda", "disk.img"}));
  EXPECT_EQ(words_of({"run", "--memory", "64", "disk.img", "-snapshot"}),
            (Words{"--memory", "64", "--snapshot", "--hda", "disk.img"}));
  EXPECT_EQ(problem_of({"run", "one", "two"}), "-hda: that place has a drive already");
}

TEST(Spelling, AnUnknownWordIsNamedAndNeverACluster) {
  EXPECT_EQ(problem_of({"-Z"}), "there is no option -Z (see ringshift run --help)");
  EXPECT_EQ(problem_of({"run", "-m64M"}), "there is no option -m64M (see ringshift run --help)");
  EXPECT_EQ(problem_of({"-frobnicate", "x"}),
            "there is no option -frobnicate (see ringshift run --help)");
  EXPECT_EQ(problem_of({"doctor", "-json"}).rfind("there is no option -json", 0), 0U);
}

TEST(Spelling, NearMissesAreAskedAbout) {
  const std::pair<const char*, const char*> kMisses[] = {
      {"-kernal", "-kernel"}, {"-cdrm", "-cdrom"},   {"-nographics", "-nographic"},
      {"-hde", "-hda"},       {"-stats", "--stats"}, {"-seriel", "-serial"}};
  for (const auto& [typed, meant] : kMisses) {
    EXPECT_EQ(problem_of({typed}), std::string("there is no option ") + typed + "; did you mean " +
                                       meant + "? (see ringshift run --help)");
  }
}

TEST(Spelling, AValueIsNoOptionWhateverItLooksLike) {
  EXPECT_EQ(words_of({"-append", "-kernel"}), (Words{"--append=-kernel"}));
  EXPECT_EQ(words_of({"-append", ""}), (Words{"--append", ""}));
  EXPECT_EQ(problem_of({"-kernel"}), "-kernel: needs a value");
  EXPECT_EQ(words_of({"--stats", "-m", "64"}), (Words{"--stats", "--memory", "64"}));
}

TEST(Spelling, TwoDashesAreAsGoodAsOneWhereWeHaveNoOptionOfThatName) {
  EXPECT_EQ(words_of({"--drive", "file=d"}), (Words{"--hda", "d"}));
  EXPECT_EQ(words_of({"--device", "toaster"}), (Words{"--device", "toaster"}));
}

TEST(Spelling, FoldersPanicsWatchdogsAndConsoles) {
  EXPECT_EQ(words_of({"-virtfs", "local,path=/a,,b,mount_tag=t,security_model=none,readonly=on"}),
            (Words{"--share", "/a,,b,readonly,tag=t"}));
  EXPECT_EQ(words_of({"-fsdev", "local,id=f,path=/d,security_model=passthrough", "-device",
                      "virtio-9p-pci,fsdev=f,mount_tag=t"}),
            (Words{"--share", "/d,tag=t"}));
  EXPECT_EQ(problem_of({"-device", "virtio-9p-pci,fsdev=f,mount_tag=t"}),
            "-device virtio-9p-pci: needs fsdev=ID of a -fsdev with that id");
  EXPECT_EQ(problem_of({"-virtfs", "proxy,path=/d,mount_tag=t"}),
            "-virtfs proxy: a folder of this host is shared (local)");
  EXPECT_EQ(words_of({"-watchdog", "i6300esb", "-watchdog-action", "pause"}),
            (Words{"--device", "i6300esb", "--action", "watchdog=pause"}));
  EXPECT_EQ(words_of({"-device", "pvpanic", "-action", "panic=none"}),
            (Words{"--action", "panic=none", "--device", "pvpanic"}));
  EXPECT_EQ(words_of({"-chardev", "file,id=c,path=log", "-device", "virtio-serial-pci", "-device",
                      "virtconsole,chardev=c"}),
            (Words{"--virtio-console", "file=log"}));
  EXPECT_EQ(words_of({"-device", "virtio-balloon-pci,deflate-on-oom=on"}),
            (Words{"--device", "virtio-balloon-pci,deflate-on-oom=on"}));
}

TEST(Spelling, WhatIsNamedByItsIdMayBeMadeBehindIt) {
  EXPECT_EQ(words_of({"-mon", "chardev=c", "-serial", "chardev:c", "-chardev", "stdio,id=c"}),
            (Words{"--serial", "console"}));
  EXPECT_EQ(words_of({"-device", "ide-hd,drive=d", "-drive", "if=none,id=d,file=f"}),
            (Words{"--hda", "f"}));
  EXPECT_EQ(words_of({"-device", "virtio-rng-pci,rng=r", "-object", "rng-builtin,id=r"}),
            (Words{"--device", "virtio-rng-pci"}));
  EXPECT_EQ(problem_of({"-device", "virtio-rng-pci,rng=r"}),
            "-device virtio-rng-pci: there is no -object rng-random with id=r");
  // QEMU's own order: the disks of -device first.
  EXPECT_EQ(words_of({"-drive", "if=virtio,file=a", "-drive", "if=none,id=d,file=b", "-device",
                      "virtio-blk-pci,drive=d"}),
            (Words{"--virtio-disk", "b", "--virtio-disk", "a"}));
}

TEST(Spelling, NodesOfBlocksAreDrives) {
  EXPECT_EQ(
      words_of({"-blockdev", "driver=file,node-name=f,filename=i.qcow2,read-only=on", "-blockdev",
                "qcow2,node-name=d,file=f", "-device", "virtio-blk-pci,drive=d"}),
      (Words{"--virtio-disk", "i.qcow2,readonly=on,format=qcow2"}));
  EXPECT_EQ(words_of({"-blockdev",
                      "nbd,node-name=d,server.type=inet,server.host=h,server.port=1,export=e",
                      "-device", "ide-hd,drive=d"}),
            (Words{"--hda", "nbd://h:1/e"}));
  EXPECT_NE(problem_of({"-blockdev", "{}"}).find("JSON is not read here"), std::string::npos);
  EXPECT_NE(problem_of({"-blockdev", "raw,node-name=d,file=f"}).find("needs node-name="),
            std::string::npos);
  EXPECT_NE(problem_of({"-blockdev", "vvfat,node-name=d,dir=/"}).find("there is no driver vvfat"),
            std::string::npos);
}

TEST(Spelling, ProtocolsOfImagesAreKnown) {
  EXPECT_EQ(words_of({"-hda", "file:d"}), (Words{"--hda", "d"}));
  EXPECT_EQ(words_of({"-hda", "nbd:localhost:10809:exportname=x"}),
            (Words{"--hda", "nbd://localhost:10809/x"}));
  EXPECT_EQ(words_of({"-hda", "nbd:unix:/s"}), (Words{"--hda", "nbd+unix:///?socket=/s"}));
  EXPECT_EQ(words_of({"-hda", "nbd://h/x"}), (Words{"--hda", "nbd://h/x"}));
  EXPECT_EQ(problem_of({"-hda", "fat:rw:d"}),
            "fat:rw:d: QEMU's fat: is not supported: no disk is made of a folder; --share shows a "
            "guest a "
            "folder");
}

TEST(Spelling, MemoryCountersAndFilesForTheGuest) {
  EXPECT_EQ(words_of({"-m", "size=64M,slots=2,maxmem=1G"}), (Words{"--memory", "64M"}));
  EXPECT_NE(problem_of({"-m", "64,banks=2"}).find("there is no 'banks'"), std::string::npos);
  EXPECT_EQ(words_of({"-icount", "shift=7,sleep=off"}), (Words{"--clock", "events,idle=skip"}));
  EXPECT_EQ(words_of({"-fw_cfg", "opt/x,string=y"}), (Words{"--fw-cfg", "opt/x,string=y"}));
}

TEST(Spelling, WhatIsNotSupportedSaysWhy) {
  EXPECT_EQ(problem_of({"-virtfs", "local,path=."}), "-virtfs: needs mount_tag=");
  EXPECT_EQ(problem_of({"-smp", "2", "-m", "512"}),
            "-smp 2: there is one processor (docs/limitations.md, L7); use -smp 1");
  EXPECT_EQ(problem_of({"-machine", "q35"}),
            "-machine q35 is not supported: the board is an i440FX's; use -machine pc");
}

TEST(Spelling, WhatChangesNothingIsNotedInOneLine) {
  EXPECT_EQ(note_of({"-kernel", "k"}), "");
  EXPECT_EQ(
      note_of({"-enable-kvm", "-usb"}),
      "without effect here: -enable-kvm (guests run by binary translation), -usb (there is no "
      "USB; keyboard and mouse are PS/2)");
}

TEST(Spelling, DrivesTakeTheFirstPlaceThatIsFree) {
  EXPECT_EQ(words_of({"-drive", "file=a", "-drive", "file=b,media=cdrom", "-hda", "c"}),
            (Words{"--hda", "c", "--hdb", "a", "--cdrom", "b"}));
  EXPECT_EQ(words_of({"-drive", "file=b,media=cdrom"}), (Words{"--hda", "b,media=cdrom"}));
  EXPECT_EQ(words_of({"-drive", "index=3,media=disk,file=a,format=raw,snapshot=on"}),
            (Words{"--hdd", "a,format=raw,snapshot=on"}));
  EXPECT_EQ(words_of({"-drive", "if=floppy,index=0,file=f,readonly=on"}),
            (Words{"--fda", "f,readonly=on"}));
  EXPECT_EQ(words_of({"-cdrom", "c.iso"}), (Words{"--cdrom", "c.iso"}));
}

TEST(Spelling, ACommaInAFilesNameIsWrittenTwice) {
  EXPECT_EQ(words_of({"-drive", "file=a,,b,format=qcow2"}), (Words{"--hda", "a,b,format=qcow2"}));
}

TEST(Spelling, LooseDrivesBelongToTheirDevices) {
  EXPECT_EQ(words_of({"-drive", "if=none,id=x,file=a", "-device", "ide-hd,drive=x,bus=ide.1"}),
            (Words{"--hdc", "a"}));
  EXPECT_EQ(words_of({"-drive", "if=none,id=x,file=a", "-device", "ide-cd,drive=x"}),
            (Words{"--hda", "a,media=cdrom"}));
  EXPECT_EQ(words_of({"-drive", "if=none,id=x,file=a", "-device", "virtio-blk-pci,drive=x"}),
            (Words{"--virtio-disk", "a"}));
  EXPECT_EQ(words_of({"-drive", "if=virtio,file=a,readonly=on"}),
            (Words{"--virtio-disk", "a,readonly=on"}));
  EXPECT_NE(problem_of({"-device", "ide-hd,drive=x"}), "");
  EXPECT_NE(problem_of({"-drive", "if=none,id=x,file=a", "-device", "ide-hd,drive=x,speed=1"}), "");
}

TEST(Spelling, DrivesThatCannotBeAreRefused) {
  EXPECT_EQ(problem_of({"-drive", "file=a,if=scsi"}),
            "-drive: if=scsi is not supported: there is no SCSI; use if=ide");
  for (const char* drive : {"file=a,index=4", "file=a,if=pigeon", "file=a,format=tar", "media=tape",
                            "file=a,speed=high", "file=a,index=x", "media=disk"}) {
    EXPECT_NE(problem_of({"-drive", drive}), "") << drive;
  }
  EXPECT_NE(problem_of({"-hda", "a", "-drive", "file=b,index=0"}), "");
}

TEST(Spelling, PortsAtSocketsConnectOrServeAndWaitAsQemusDo) {
  EXPECT_EQ(words_of({"-serial", "tcp::4444,server,nowait"}),
            (Words{"--serial", "tcp::4444,server=on"}));
  EXPECT_EQ(words_of({"-serial", "telnet:localhost:4444,server=on"}),
            (Words{"--serial", "telnet:localhost:4444,server=on,wait=on"}));
  EXPECT_EQ(words_of({"-serial", "stdio", "-serial", "unix:p"}),
            (Words{"--serial", "console", "--serial2", "unix:p,server=off"}));
  EXPECT_EQ(words_of({"-serial", "pty"}), (Words{"--serial", "pty"}));
  EXPECT_EQ(words_of({"-chardev", "pty,id=c", "-debugcon", "chardev:c"}),
            (Words{"--debugcon", "pty"}));
  EXPECT_EQ(words_of({"-chardev", "socket,id=m,host=127.0.0.1,port=9,server=on,wait=off,telnet=on",
                      "-serial", "chardev:m"}),
            (Words{"--serial", "telnet:127.0.0.1:9,server=on"}));
  EXPECT_EQ(words_of({"-chardev", "socket,id=v,path=p,server=on,wait=off", "-device",
                      "virtio-serial-pci", "-device", "virtconsole,chardev=v"}),
            (Words{"--virtio-console", "unix:p,server=on"}));
  EXPECT_EQ(words_of({"-chardev", "null,id=v", "-device", "virtconsole,chardev=v"}),
            (Words{"--virtio-console", "null"}));
  // The monitor has a socket of its own.
  EXPECT_NE(problem_of({"-serial", "mon:telnet::4444,server"}), "");
  EXPECT_NE(problem_of({"-serial", "udp::4444"}), "");
  EXPECT_NE(problem_of({"-serial", "websocket::4444,server"}), "");
}

TEST(Spelling, PortsGoToTheTerminalAFileOrNowhere) {
  EXPECT_EQ(words_of({"-serial", "mon:stdio"}), (Words{"--serial", "console"}));
  EXPECT_EQ(words_of({"-serial", "file:out.txt"}), (Words{"--serial", "file=out.txt"}));
  EXPECT_EQ(words_of({"-serial", "null"}), (Words{"--serial", "none"}));
  EXPECT_EQ(words_of({"-chardev", "stdio,id=c,mux=on", "-serial", "chardev:c"}),
            (Words{"--serial", "console"}));
  EXPECT_EQ(words_of({"-serial", "stdio", "-serial", "file:second"}),
            (Words{"--serial", "console", "--serial2", "file=second"}));
  EXPECT_EQ(words_of({"-debugcon", "stdio"}), (Words{"--debugcon", "console"}));
  EXPECT_EQ(words_of({"-debugcon", "file:log", "-global", "isa-debugcon.iobase=0x402"}),
            (Words{"--firmware-log", "log"}));
  EXPECT_EQ(words_of({"-nodefaults"}), (Words{"--serial", "none"}));
  EXPECT_NE(problem_of({"-serial", "pigeon"}), "");
  EXPECT_NE(problem_of({"-serial", "chardev:nobody"}), "");
}

TEST(Spelling, ControlSocketsConnectOrServeAndWaitAsQemusDo) {
  EXPECT_EQ(words_of({"-qmp", "unix:a,server=on,wait=off"}), (Words{"--qmp", "unix:a,server=on"}));
  EXPECT_EQ(words_of({"-qmp", "unix:a,server,nowait"}), (Words{"--qmp", "unix:a,server=on"}));
  EXPECT_EQ(words_of({"-qmp", "tcp::1,server"}), (Words{"--qmp", "tcp::1,server=on,wait=on"}));
  EXPECT_EQ(words_of({"-qmp-pretty", "unix:a"}), (Words{"--qmp-pretty", "unix:a,server=off"}));
  EXPECT_EQ(words_of({"-monitor", "telnet:127.0.0.1:5,server,nowait"}),
            (Words{"--monitor", "tcp:127.0.0.1:5,server=on"}));
  EXPECT_EQ(words_of({"-chardev", "socket,id=m,path=p,server=on,wait=off", "-mon",
                      "chardev=m,mode=control"}),
            (Words{"--qmp", "unix:p,server=on"}));
  EXPECT_EQ(words_of({"-chardev", "socket,id=m,host=127.0.0.1,port=9,server=on,wait=off", "-mon",
                      "m,mode=readline"}),
            (Words{"--monitor", "tcp:127.0.0.1:9,server=on"}));
  EXPECT_EQ(words_of({"-name", "box,process=p"}), (Words{"--name", "box"}));
  EXPECT_NE(problem_of({"-qmp", "stdio"}), "");
  EXPECT_NE(problem_of({"-mon", "chardev=m"}), "");
  EXPECT_NE(problem_of({"-chardev", "socket,id=m,path=p,reconnect=1"}), "");
}

TEST(Spelling, TheNearestProcessorIsShown) {
  EXPECT_EQ(words_of({"-cpu", "pentium3"}), (Words{"--cpu", "model=pentium3"}));
  EXPECT_EQ(words_of({"-cpu", "486"}), (Words{"--cpu", "model=pentium3"}));
  EXPECT_EQ(words_of({"-cpu", "qemu32,-nx,+sse2"}), (Words{"--cpu", "model=core,nx=off"}));
  EXPECT_EQ(words_of({"-cpu", "Haswell-noTSX"}), (Words{"--cpu", "model=core"}));
  EXPECT_NE(problem_of({"-cpu", "z80"}), "");
  EXPECT_NE(problem_of({"-cpu", "max,+smap"}), "");
}

TEST(Spelling, MachinesAndTheirParts) {
  EXPECT_EQ(words_of({"-M", "pc"}), Words{});
  EXPECT_EQ(words_of({"-machine", "pc-i440fx-7.2,accel=kvm:tcg,acpi=off,usb=off"}),
            (Words{"--machine", "acpi=off"}));
  EXPECT_NE(problem_of({"-machine", "pc-q35-7.2"}), "");
  EXPECT_NE(problem_of({"-machine", "raspi2"}), "");
  EXPECT_NE(problem_of({"-accel", "turbo"}), "");
}

// A table that a person writes: no word twice, and each with what its meaning needs.
TEST(Spelling, TheTableIsInOrder) {
  std::map<std::string, int> seen;
  for (const qemu::Word& word : qemu::all_words()) {
    EXPECT_EQ(++seen[word.name], 1) << word.name;
    EXPECT_EQ(word.name[0], '-');
    const bool is_read =
        word.meaning == qemu::Meaning::Read || word.meaning == qemu::Meaning::ReadLast;
    EXPECT_EQ(is_read, word.read != nullptr) << word.name;
    EXPECT_EQ(is_read, word.text == nullptr) << word.name;
  }
}

}  // namespace
}  // namespace ringshift
