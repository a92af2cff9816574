// Examples: how commands are typed, for the end of their help. See docs/usage.md.
#pragma once

namespace ringshift {

inline constexpr char kRunExamples[] =
    "Keys on the console: Ctrl-A x quits, Ctrl-A h helps, Ctrl-A a sends Ctrl-A.\n"
    "Examples:\n"
    "  ringshift run --kernel bzImage --initrd root.cpio.gz --append console=ttyS0\n"
    "  ringshift run --kernel kernel.elf --module 'disk.img rw' -m 64M --stats\n";

inline constexpr char kTranslateExamples[] =
    "Examples:\n"
    "  ringshift translate --kernel vmlinuz --blocks 20\n"
    "  ringshift translate --raw loop.bin --base 0x8048000 --ring 3\n";

}  // namespace ringshift
