; Into a 16-bit code segment and back, with a 16-bit stack too; then real mode and back.
; exit: 0
; serial:
;   sum 00001388
;   16-bit stack 0000beef
;   real mode 00001234 00000040
;   still here
%include "guest.inc"

CODE16 equ 0x30
DATA16 equ 0x38
REAL   equ 0x8000

main:
  gdt_entry CODE16, addr(in_16), 0xffff, 0x009b
  gdt_entry DATA16, SPARE, 0xffff, 0x0093
  call CODE16:0
  print "sum "
  call print_hex
  say ""
  mov esi, esp
  mov edx, DATA16
  mov ss, edx
  mov esp, 0xabcd1000             ; only SP counts
  push dword 0xbeef
  cmp dword [SPARE + 0xffc], 0xbeef
  jne .wrong
  pop eax
  cmp esp, 0xabcd1000
  jne .wrong
  mov edx, DATA0
  mov ss, edx
  mov esp, esi
  print "16-bit stack "
  call print_hex
  say ""
  mov esi, real_code
  mov edi, REAL
  mov ecx, real_end - real_code
  rep movsb
  gdt_entry CODE16, REAL, 0xffff, 0x009b
  gdt_entry DATA16, 0, 0xffff, 0x0093
  mov [saved_esp], esp
  sidt [saved_idt]
  lidt [real_idt]
  jmp CODE16:0
.back:
  mov eax, DATA0
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov esp, [saved_esp]
  lidt [saved_idt]
  print "real mode "
  movzx eax, word [0x7000]
  call print_hex
  print " "
  movzx eax, word [0x7002]
  call print_hex
  say ""
  say "still here"
  ret
.wrong:
  fail "16-bit stack"
align 4
saved_esp: dd 0
saved_idt: dd 0, 0
real_idt:
  dw 0x3ff
  dd 0

bits 16
in_16:
  mov cx, 1000
  xor eax, eax
.next:
  add ax, 5
  loop .next
  o32 retf

real_code:
  mov eax, DATA16
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov eax, cr0
  and al, 0xfe
  mov cr0, eax
  jmp (REAL >> 4):.real - real_code
.real:
  xor ax, ax
  mov ds, ax
  mov ss, ax
  mov sp, 0x7f00
  mov word [0x40 * 4], .handler - real_code
  mov word [0x40 * 4 + 2], REAL >> 4
  mov word [0x7000], 0x1234
  int 0x40
  mov eax, cr0
  or al, 1
  mov cr0, eax
  jmp dword CODE0:main.back
.handler:
  mov word [0x7002], 0x40
  iret
real_end:
bits 32
