; Under control: counts at [COUNTER], prints every scan code it gets, and says so when the power
; button is pressed; then it ends. Needs --machine acpi=on.
%include "guest.inc"

COUNTER equ 0x500000
POWER_STATUS equ 0xb000
POWER_BUTTON equ 0x100

main:
  mov dword [COUNTER], 0
  say "begins"
.next:
  inc dword [COUNTER]
  in al, 0x64
  test al, 1
  jz .no_key
  in al, 0x60
  push eax
  print "key "
  pop eax
  call print_byte
  say ""
.no_key:
  mov dx, POWER_STATUS
  in ax, dx
  test ax, POWER_BUTTON
  jz .next
  say "power button"
  finish 0
