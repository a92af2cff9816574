; Indirect jumps and calls to places whose EIPs have the same low 16 bits, turn about.
; exit: 0
; serial:
;   0001e654
;   0001e654
%include "guest.inc"

PLACES equ 4

main:
  mov edi, 0x410100
  mov ecx, PLACES
  mov eax, 1
.place:
  mov dword [edi], 0x00c381       ; add ebx, imm32
  mov [edi + 2], eax
  mov byte [edi + 6], 0xc3
  shl eax, 1
  add edi, 0x10000
  loop .place
  call round
round:
  xor ebx, ebx
  mov ecx, 16600
  mov edx, 0x410100
.next:
  call edx
  add edx, 0x10000
  cmp edx, 0x410100 + PLACES * 0x10000
  jne .more
  mov edx, 0x410100
.more:
  push dword .back
  jmp edx
.back:
  loop .next
  mov eax, ebx
  call print_hex
  say ""
  ret
