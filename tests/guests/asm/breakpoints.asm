; DR0 to DR3: a breakpoint on an instruction (fault, RF passes it), on writes and on reads or writes
; of one, two and four bytes (traps), and none once DR7 is clear.
; exit: 0
; serial:
;   execute 00000001 dr6 00000001 at target
;   write 00000002
;   access 00000003
;   word 00000001
;   off 00000000
;   gd 00000001
%include "guest.inc"

%macro count 1
  print %1, " "
  mov eax, [hits]
  call print_hex
%endmacro

main:
  hook 1, on_hit
  xor eax, eax
  mov dr6, eax
  mov eax, target
  mov dr0, eax
  mov eax, 0x402                  ; G0, execution
  mov dr7, eax
  call target
  call clear
  count "execute"
  print " dr6 "
  mov eax, [dr6_seen]
  and eax, 0xf
  call print_hex
  cmp dword [eip_seen], target
  jne .elsewhere
  print " at target"
.elsewhere:
  say ""
  mov dword [hits], 0
  mov eax, datum
  mov dr1, eax
  mov eax, 0x00d00408             ; G1, write, four bytes
  mov dr7, eax
  mov [datum], eax
  mov ecx, [datum]
  inc byte [datum + 3]
  mov [datum + 4], eax
  call clear
  count "write"
  say ""
  mov dword [hits], 0
  mov eax, 0x00f00408             ; read or write
  mov dr7, eax
  mov [datum], eax
  mov ecx, [datum]
  inc byte [datum + 3]
  mov ecx, [datum + 4]
  call clear
  count "access"
  say ""
  mov dword [hits], 0
  mov eax, datum + 2
  mov dr3, eax
  mov eax, 0x50000480             ; G3, write, two bytes
  mov dr7, eax
  mov byte [datum + 1], 1
  mov byte [datum + 4], 1
  mov byte [datum + 3], 1
  call clear
  count "word"
  say ""
  mov dword [hits], 0
  call target
  mov [datum], eax
  count "off"
  say ""
  mov eax, 0x2400                 ; GD: MOV DR faults; the fault clears GD
  mov dr7, eax
  mov eax, dr0
  call clear
  count "gd"
  say ""
  ret

clear:
  mov eax, 0x400
  mov dr7, eax
  ret

on_hit:
  inc dword [hits]
  mov eax, dr6
  mov [dr6_seen], eax
  mov eax, [ebp + frame.eip]
  mov [eip_seen], eax
  xor eax, eax
  mov dr6, eax
  or dword [ebp + frame.eflags], 0x10000
  ret

align 16
target:
  nop
  ret
align 8
datum: dd 0, 0
hits: dd 0
dr6_seen: dd 0
eip_seen: dd 0
