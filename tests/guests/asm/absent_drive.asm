; The second cable has a CD-ROM drive as drive 0 and no drive 1: what each answers (ATA/ATAPI-6 9.12,
; 9.16.1, 8.15, 8.16). Registers are error, count, low, mid, high, device, status.
; exit: 0
; cdrom: 60
; serial:
;   absent: status 00 as written 55 aa
;   ignores commands: 00
;   reset: 01 01 01 14 eb a0 00
;   identify refused: 04 01 01 14 eb a0 51
;   read refused: 04 01 01 14 eb a0 51
;   identify packet: 00 02 01 14 eb a0 58
;   read: 00 03 01 14 eb a0 50
;   diagnosed: 01 01 01 14 eb 00 00
%include "guest.inc"

B equ 0x170

%macro show 1
  print %1, ":"
  call registers
%endmacro
%macro command 1
  mov dx, B + 7
  mov al, %1
  out dx, al
%endmacro

main:
  mov al, 2                       ; no interrupts
  mov dx, B + 0x206
  out dx, al
  mov al, 0xb0
  call select
  mov dx, B + 2
  mov al, 0x55
  out dx, al
  inc dx
  mov al, 0xaa
  out dx, al
  print "absent: status "
  mov dx, B + 7
  in al, dx
  call print_byte
  print " as written "
  mov dx, B + 2
  in al, dx
  call print_byte
  print " "
  inc dx
  in al, dx
  call print_byte
  say ""
  command 0xec
  print "ignores commands: "
  mov dx, B + 7
  in al, dx
  call print_byte
  say ""
  mov al, 0xa0
  call select
  command 0x08
  show "reset"
  command 0xec
  show "identify refused"
  command 0x20
  show "read refused"
  command 0xa1
  show "identify packet"
  mov dx, B
  mov edi, SPARE
  mov ecx, 256
  rep insw
  show "read"
  command 0x90
  show "diagnosed"
  finish 0

select:
  mov dx, B + 6
  out dx, al
  ret
registers:
  mov dx, B + 1
  mov ecx, 7
.next:
  print " "
  in al, dx
  call print_byte
  inc dx
  loop .next
  say ""
  ret
