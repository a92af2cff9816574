#include "monitor/lab/parts/guests/demonstration_guest.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "shadowmmu/host_mapping.h"

// 32-bit code, assembled with the program; link addresses begin at 1 MiB.
// clang-format off
asm(R"guest(
  .section .rodata
  .code32
  .intel_syntax noprefix
  # EAX is the value, the text its name.
  .macro lab_answer text
    call 77f
    .asciz "\text"
  77: pop esi
    call lab_answer_line
  .endm

  # How far the guest is, to whom it concerns. Changes nothing that a question is about.
  .macro lab_mark number
    push eax
    mov al, 0x80 + \number
    out 0x80, al
    pop eax
  .endm

  .set at_gdt, lab_gdt - lab_base + 0x100000
  .set at_gdt_pointer, lab_gdt_pointer - lab_base + 0x100000
  .set at_idt_pointer, lab_idt_pointer - lab_base + 0x100000
  .set at_ticks, lab_ticks - lab_base + 0x100000
  .set at_tick, lab_tick - lab_base + 0x100000
  .set at_unexpected, lab_unexpected - lab_base + 0x100000

  .balign 4096
lab_sensitive_image:
lab_base:
  .long 0x1badb002, 0x10003, -(0x1badb002 + 0x10003)
  .long 0x100000, 0x100000, 0, 0, lab_start - lab_base + 0x100000

lab_gdt:
  .quad 0
  .quad 0x00cf9b000000ffff
  .quad 0x00cf93000000ffff
  .quad 0x00cffb000000ffff
  .quad 0x00cff3000000ffff
  .quad 0x0000891200000067
  .quad 0x00c0f20100000fff
  .quad 0x0000821210000007
lab_gdt_pointer:
  .word 63
  .long lab_gdt - lab_base + 0x100000
lab_idt_pointer:
  .word 2047
  .long 0x110000
lab_ticks: .long 0

lab_start:
  cli
  cld
  mov esp, 0x180000
  lgdt ds:[at_gdt_pointer]
  .byte 0xea
  .long lab_flat - lab_base + 0x100000
  .word 8
lab_flat:
  mov eax, 0x10
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov eax, 0x28
  ltr ax
  mov eax, 0x38
  lldt ax
  call lab_set_up_interrupts

  # Interrupts off by POPF: does the clock still tick?
  lab_mark 0
  sti
  lab_mark 1
  pushfd
  and dword ptr [esp], 0xfffffdff
  popfd
  lab_mark 2
  mov dword ptr ds:[at_ticks], 0
  call lab_wait_a_while
  lab_mark 3
  mov eax, ds:[at_ticks]
  test eax, eax
  setnz al
  movzx eax, al
  cli
  lab_answer "POPF, IF clear: does the clock interrupt all the same?"

  cli
  pushfd
  pop eax
  shr eax, 9
  and eax, 1
  lab_answer "PUSHF after CLI: is IF on?"

  xor eax, eax
  push eax
  push cs
  pop eax
  pop ecx
  movzx eax, ax
  lab_answer "PUSH CS (the kernel's is 8)"
  xor eax, eax
  mov ax, ss
  lab_answer "MOV r, SS (the kernel's is 10)"

  mov ecx, cr0
  smsw eax
  xor eax, ecx
  and eax, 0xffff
  lab_answer "SMSW: bits unlike MOV r, CR0"
  sgdt [0x190000]
  mov eax, [0x190002]
  sub eax, offset at_gdt
  lab_answer "SGDT: base, from where LGDT put it"
  sidt [0x190000]
  mov eax, [0x190002]
  lab_answer "SIDT: base (LIDT said 110000)"
  xor eax, eax
  str ax
  lab_answer "STR (LTR said 28)"
  xor eax, eax
  sldt ax
  lab_answer "SLDT (LLDT said 38)"

  mov ecx, 0x10
  xor eax, eax
  lar eax, ecx
  lab_answer "LAR 10: rights of the kernel's data"
  mov ecx, 0x30
  xor eax, eax
  lsl eax, ecx
  lab_answer "LSL 30: limit of the thread segment"
  mov ecx, 0x10
  verw cx
  setz al
  movzx eax, al
  lab_answer "VERW 10: may the kernel's data be written?"

  # The thread segment begins at 0x10000; another word lies where a base of zero finds it.
  mov dword ptr [0x1a0000], 0x600d
  mov dword ptr [0x190000], 0xbad
  mov eax, 0x33
  mov gs, eax
  xor eax, eax
  mov eax, gs:[0x190000]
  lab_answer "MOV GS, 33: the thread segment's word (600d)"

  mov eax, 1
  cpuid
  shr ecx, 28
  and ecx, 1
  mov eax, ecx
  lab_answer "CPUID: is there AVX, which this machine has not?"

  mov al, 0
  out 0xf4, al
  cli
  hlt

lab_wait_a_while:
  mov ecx, 20
1: mov edx, 600000
2: dec edx
  jnz 2b
  cmp dword ptr ds:[at_ticks], 0
  jne 3f
  dec ecx
  jnz 1b
3: ret

lab_tick:
  push eax
  inc dword ptr ds:[at_ticks]
  mov al, 0x20
  out 0x20, al
  pop eax
  iretd

lab_set_up_interrupts:
  mov edi, 0x110000
  mov ecx, 256
  mov eax, offset at_unexpected
  mov edx, eax
  and eax, 0xffff
  or eax, 0x80000
  and edx, 0xffff0000
  or edx, 0x8e00
1: mov [edi], eax
  mov [edi + 4], edx
  add edi, 8
  loop 1b
  mov eax, offset at_tick
  and eax, 0xffff
  or eax, 0x80000
  mov [0x110100], eax
  lidt ds:[at_idt_pointer]
  mov al, 0x11
  out 0x20, al
  mov al, 0x20
  out 0x21, al
  mov al, 4
  out 0x21, al
  mov al, 1
  out 0x21, al
  mov al, 0xfe
  out 0x21, al
  mov al, 0x34
  out 0x43, al
  mov al, 0xa9
  out 0x40, al
  mov al, 4
  out 0x40, al
  ret

lab_unexpected:
  pop eax
  lab_answer "an exception nobody expected, with this on its stack"
  mov al, 1
  out 0xf4, al
  cli
  hlt

  # After each answer, what the guest sees of its ring and its IF: bits 0-1 and 2.
lab_answer_line:
  push eax
  push cs
  pop eax
  and eax, 3
  pushfd
  pop edx
  shr edx, 7
  and edx, 4
  or eax, edx
  out 0x80, al
1: lodsb
  test al, al
  jz 2f
  call lab_character
  jmp 1b
2: mov al, 0x3d
  call lab_character
  pop eax
  mov ecx, 8
3: rol eax, 4
  push eax
  and eax, 15
  cmp al, 10
  jb 4f
  add al, 39
4: add al, 48
  call lab_character
  pop eax
  loop 3b
  mov al, 10
lab_character:
  push edx
  mov edx, 0x3f8
  out dx, al
  pop edx
  ret
  .balign 4
lab_sensitive_end:

  .att_syntax prefix
  .code64
  .text
)guest");
// clang-format on

extern "C" {
extern const uint8_t lab_sensitive_image[] __attribute__((visibility("hidden")));
extern const uint8_t lab_sensitive_end[] __attribute__((visibility("hidden")));
}

namespace ringshift::lab {

std::span<const uint8_t> sensitive_guest() { return {lab_sensitive_image, lab_sensitive_end}; }

std::unique_ptr<ImageFile> ImageFile::create(std::span<const uint8_t> image, std::string* error) {
  int descriptor = -1;
  const HostResult made = create_memfd("ringshift-lab", image.size(), &descriptor);
  if (!made.ok()) {
    *error = "no memory for the guest's image: " + made.text();
    return nullptr;
  }
  std::unique_ptr<ImageFile> file(new ImageFile(descriptor));
  if (write(descriptor, image.data(), image.size()) == static_cast<ssize_t>(image.size())) {
    return file;
  }
  *error = std::string("cannot write the guest's image: ") + std::strerror(errno);
  return nullptr;
}

ImageFile::~ImageFile() { close(descriptor_); }

std::string ImageFile::path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

}  // namespace ringshift::lab
