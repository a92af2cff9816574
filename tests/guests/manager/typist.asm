; Under a manager: says each byte that is typed at its serial port back, and does what some bytes
; ask for: e ends well, x ends by the exit port, h halts for good with interrupts off, s spins
; without looking at anything, p resets. The power button ends it. Needs --machine acpi=on.
%include "guest.inc"

POWER_STATUS equ 0xb000
POWER_BUTTON equ 0x100
LINE_STATUS equ 0x3fd
DATA equ 0x3f8

main:
  say "typist begins"
.next:
  mov dx, POWER_STATUS
  in ax, dx
  test ax, POWER_BUTTON
  jz .no_button
  say "power button"
  finish 0
.no_button:
  mov dx, LINE_STATUS
  in al, dx
  test al, 1
  jz .next
  mov dx, DATA
  in al, dx
  cmp al, 'e'
  je .end
  cmp al, 'x'
  je .exit
  cmp al, 'h'
  je .halt
  cmp al, 's'
  je .spin
  cmp al, 'p'
  je .reset
  push eax
  print "typed "
  pop eax
  call print_byte
  say ""
  jmp .next
.end:
  say "ends"
  finish 0
.exit:
  finish 2
.halt:
  say "halts"
  cli
  hlt
.spin:
  say "spins"
  jmp $
.reset:
  say "resets"
  mov al, 0xfe
  out 0x64, al
  jmp $
