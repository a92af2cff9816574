; An NMI that the processor sends itself comes with interrupts off, wakes HLT, and not before the
; handler of the one before has returned. Messages to processors that are not there are accepted.
; exit: 0
; serial:
;   to others: 00000000
;   to itself: 00000001
;   within its handler: 00000001 and after it: 00000003
%include "guest.inc"

COMMAND_HIGH equ 0xfee00310
COMMAND equ 0xfee00300
ASSERTED equ 1 << 14
NMI equ 4 << 8 | ASSERTED
INIT equ 5 << 8 | ASSERTED
START_UP equ 6 << 8 | ASSERTED

main:
  hook 2, count
  mov dword [COMMAND_HIGH], 1 << 24
  mov dword [COMMAND], NMI
  mov dword [COMMAND], INIT
  mov dword [COMMAND], START_UP | 0x9f
  mov dword [COMMAND], START_UP | 0x9f
  mov dword [COMMAND_HIGH], 0
  mov dword [COMMAND], START_UP | 0x9f  ; nobody waits for it
  call wait_a_little
  print "to others: "
  call show_count
  say ""
  mov dword [COMMAND], NMI
.wait:
  cmp dword [nmis], 0
  je .wait
  print "to itself: "
  call show_count
  say ""
  mov dword [nmis], 0
  hook 2, send_again
  mov dword [COMMAND], NMI
.wait_again:
  cmp dword [nmis], 3
  jb .wait_again
  call wait_a_little
  print "within its handler: "
  mov eax, [within]
  call print_hex
  print " and after it: "
  call show_count
  say ""
  finish 0

show_count:
  mov eax, [nmis]
  jmp print_hex

wait_a_little:
  mov ecx, 100000
.more:
  loop .more
  ret

count:
  inc dword [nmis]
  ret

; The first sends two, and leaves time for them: they become one, after the return. That one sends
; another.
send_again:
  inc dword [nmis]
  cmp dword [nmis], 2
  ja .done
  mov dword [COMMAND], NMI
  jb .first
  ret
.first:
  mov dword [COMMAND], NMI
  call wait_a_little
  mov eax, [nmis]
  mov [within], eax
.done:
  ret

nmis: dd 0
within: dd 0
