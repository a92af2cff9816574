; 4 MiB of a CD-ROM by one bus master transfer: the processor goes on before it is all there, time
; passes, and the interrupt comes at the end, once, also to a processor that sleeps until then.
; exit: 0
; cdrom: 2100
; serial:
;   under way 01
;   done 04, one interrupt
;   the last sector's place was written
%include "guest.inc"

B equ 0x170
MASTER equ 0xc008                 ; the second channel's
TABLE equ 0x3f0000
PLACE equ 0x1000000
SECTORS equ 2048

%macro config 2
  mov dx, 0xcf8
  mov eax, %1
  out dx, eax
  mov dx, 0xcfc
  mov eax, %2
  out dx, eax
%endmacro

main:
  config 0x80000920, 0xc000       ; the bus master's ports
  config 0x80000904, 5            ; decoded, and a master
  mov edi, TABLE
  mov eax, PLACE
  mov ecx, SECTORS * 2048 / 0x10000
.descriptor:
  mov [edi], eax
  mov dword [edi + 4], 0          ; 64 KiB
  add eax, 0x10000
  add edi, 8
  loop .descriptor
  mov dword [edi - 4], 0x80000000
  mov dword [PLACE + SECTORS * 2048 - 4], 0xffffffff
  hook 0x2f, on_drive
  mov al, 0xfb
  out 0x21, al
  mov al, 0x7f
  out 0xa1, al
  mov dx, B + 6
  mov al, 0xa0
  out dx, al
  mov dx, B + 1
  mov al, 1                       ; by DMA
  out dx, al
  mov dx, B + 7
  mov al, 0xa0
  out dx, al
  mov esi, packet
  mov ecx, 6
  mov dx, B
  rep outsw
  mov dx, MASTER + 4
  mov eax, TABLE
  out dx, eax
  mov dx, MASTER
  mov al, 8
  out dx, al
  mov al, 9
  out dx, al
  mov dx, MASTER + 2
  in al, dx
  push eax
  sti
.wait:
  hlt
  cmp dword [interrupts], 0
  je .wait
  cli
  print "under way "
  pop eax
  and al, 5                       ; active, interrupt
  call print_byte
  say ""
  print "done "
  mov dx, MASTER + 2
  in al, dx
  and al, 5
  call print_byte
  cmp dword [interrupts], 1
  jne .many
  say ", one interrupt"
  cmp dword [PLACE + SECTORS * 2048 - 4], 0
  jne .many
  say "the last sector's place was written"
  finish 0
.many:
  fail "and more"

on_drive:
  inc dword [interrupts]
  mov dx, B + 7
  in al, dx
  mov al, 0x20
  out 0xa0, al
  out 0x20, al
  ret
packet: db 0xa8, 0, 0, 0, 0, 0, 0, 0, SECTORS >> 8, 0, 0, 0
interrupts: dd 0
