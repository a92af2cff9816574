; TF: a trap after each instruction, with DR6.BS; none between MOV SS and what follows; REP MOVS one
; trap an iteration; the trap of the instruction that clears TF; in ring 3; ICEBP and INT3.
; exit: 0
; serial:
;   steps 00000006 bs 00004000
;   mov ss 00000004
;   rep 00000005
;   call 00000005
;   ring 3 00000003
;   int3 00000001
;   icebp 00000001
%include "guest.inc"

%macro trace_on 0
  mov dword [steps], 0
  pushfd
  or dword [esp], 0x100
  popfd
%endmacro

; PUSHFD, AND and POPFD are traced themselves: three steps.
%macro trace_off 1
  pushfd
  and dword [esp], ~0x100
  popfd
  print %1, " "
  mov eax, [steps]
  call print_hex
%endmacro

main:
  hook 1, on_step
  xor eax, eax
  mov dr6, eax
  trace_on
  nop
  nop
  mov eax, 5
  trace_off "steps"
  print " bs "
  mov eax, [dr6_seen]
  and eax, 0x4000
  call print_hex
  say ""
  mov ecx, ss
  trace_on
  mov ss, ecx
  nop                             ; no trap before this one
  trace_off "mov ss"
  say ""
  mov ecx, 2
  mov esi, SPARE
  mov edi, SPARE + 64
  trace_on
  rep movsb
  trace_off "rep"
  say ""
  trace_on
  call nothing
  trace_off "call"
  say ""
  mov dword [steps], 0
  call paging_on
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  call flush_tlb
  mov eax, user_code
  mov edx, USER_STACK
  mov dword [steps], 0
  call run_user
  print "ring 3 "
  mov eax, [steps]
  call print_hex
  say ""
  hook 3, on_step
  mov dword [steps], 0
  int3
  print "int3 "
  mov eax, [steps]
  call print_hex
  say ""
  mov dword [steps], 0
  db 0xf1
  print "icebp "
  mov eax, [steps]
  call print_hex
  say ""
  ret

nothing:
  ret

on_step:
  inc dword [steps]
  mov eax, dr6
  mov [dr6_seen], eax
  xor eax, eax
  mov dr6, eax
  ret
steps: dd 0
dr6_seen: dd 0

align 4096
user_code:
  pushfd
  or dword [esp], 0x100
  popfd
  mov ecx, 7
  nop
  lea eax, [ecx - 7]
  int 0x80                        ; the gate clears TF
align 4096
