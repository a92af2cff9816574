; The PIT interrupts loops that never leave by themselves: a counted loop, `jmp $`, a loop across
; two blocks, a loop of calls, a REP STOS, a loop in ring 3; and wakes HLT.
; exit: 0
; serial:
;   memory loop
;   jmp $
;   two blocks
;   calls
;   rep stosb
;   hlt
;   ring 3
%include "guest.inc"

main:
  mov ecx, 1193182 / 1000
  call start_timer
  sti
.memory:
  cmp dword [ticks], 3
  jb .memory
  say "memory loop"
  hook 0x20, leave_loop
  jmp $                           ; leave_loop moves EIP on
  say "jmp $"
  mov dword [wanted], 2
.first:
  xor eax, 1
  jmp .second
.second:
  xor eax, 2
  cmp dword [wanted], 0
  jne .first
  say "two blocks"
  mov dword [wanted], 2
.calls:
  call nothing
  cmp dword [wanted], 0
  jne .calls
  say "calls"
  mov dword [wanted], 2
.strings:
  mov edi, SPARE
  mov ecx, 0x100000
  mov al, 0x55
  rep stosb
  cmp edi, SPARE + 0x100000
  jne .wrong
  cmp dword [wanted], 0
  jne .strings
  say "rep stosb"
  mov dword [wanted], 3
.halts:
  hlt
  cmp dword [wanted], 0
  jne .halts
  say "hlt"
  cli
  call paging_on
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  call flush_tlb
  mov eax, user_code
  mov edx, USER_STACK
  sti
  hook 0x20, leave_loop
  call run_user
  cli
  say "ring 3"
  ret
.wrong:
  fail "rep stosb lost its place"

nothing:
  ret

; Ticks; steps over a JMP $ that has been interrupted.
leave_loop:
  call on_tick
  cmp dword [wanted], 0
  je .none
  dec dword [wanted]
.none:
  mov eax, [ebp + frame.eip]
  cmp word [eax], 0xfeeb
  jne .other
  add dword [ebp + frame.eip], 2
.other:
  ret
wanted: dd 0

align 4096
user_code:
  mov ecx, 3
.again:
  jmp $
  loop .again
  user_exit
align 4096
