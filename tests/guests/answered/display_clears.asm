; Has the display clear all of its memory, thousands of times in one string instruction.
%include "guest.inc"
ENABLE equ 4
MODE_ON equ 1
main:
  cld
  mov edi, SPARE
  mov ecx, 0x4000
.fill:
  mov word [edi], 0
  mov word [edi + 2], MODE_ON
  add edi, 4
  loop .fill
  mov al, '.'
  mov edx, 0x3f8
  out dx, al
  mov al, 10
  out dx, al
  mov edx, 0x1ce
  mov ax, ENABLE
  out dx, ax
  mov edx, 0x1d0
.again:
  mov esi, SPARE
  mov ecx, 0x8000
  rep outsw
  jmp .again
