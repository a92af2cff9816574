; After STI one instruction runs before an interrupt that is waiting: STI HLT wakes, STI CLI lets
; nothing in. POPF has no such shadow.
; exit: 0
; serial:
;   sti; cli: 00000000
;   sti; nop: 00000001
;   sti; hlt woke
;   sti; mov: 00000001 00000001
;   popf: 00000001
%include "guest.inc"

; waits until the timer's request is at the PIC, with interrupts off
pending:
  mov byte [ocw], 0x0a
  mov al, 0x0a
  out 0x20, al
.wait:
  in al, 0x20
  test al, 1
  jz .wait
  mov dword [ticks], 0
  ret
ocw: db 0

main:
  mov ecx, 1193182 / 500
  call start_timer
  call pending
  sti
  cli
  print "sti; cli: "
  mov eax, [ticks]
  call print_hex
  say ""
  sti
  nop
  cli
  print "sti; nop: "
  call show_one
  call pending
  sti
  hlt
  cli
  say "sti; hlt woke"
  call pending
  xor edx, edx
  hook 0x20, notes_edx
  sti
  mov edx, 1
  cli
  print "sti; mov: "
  mov eax, [noted]
  call print_hex
  print " "
  call show_one
  call pending
  hook 0x20, on_tick
  pushfd
  or dword [esp], 0x200
  popfd
  nop
  cli
  print "popf: "
  call show_one
  ret

show_one:
  mov eax, [ticks]
  cmp eax, 1
  jbe .print
  mov eax, 1                      ; a slow host may have seen another
.print:
  call print_hex
  say ""
  ret

notes_edx:
  mov eax, [ebp + frame.edx]
  mov [noted], eax
  jmp on_tick
noted: dd 0
