; Returns that no call made, calls that no return ends, stacks switched under way, RET n.
; exit: 0
; serial:
;   pushed 00002710
;   popped 00002710
;   changed 00002710
;   longjmp 000003e8
;   coroutines 00002710
;   ret n 00000000
%include "guest.inc"

%macro show 1
  print %1, " "
  mov eax, ebx
  call print_hex
  say ""
%endmacro

main:
  xor ebx, ebx
  mov ecx, 10000
.pushes:
  push dword .pushed
  ret
.pushed:
  inc ebx
  loop .pushes
  show "pushed"
  xor ebx, ebx
  mov ecx, 10000
.pops:
  call .popped
.popped:
  pop eax
  cmp eax, .popped
  jne .wrong
  inc ebx
  loop .pops
  show "popped"
  xor ebx, ebx
  mov ecx, 10000
.changes:
  call change
  fail "returned to its call"
.changed:
  inc ebx
  loop .changes
  show "changed"
  xor ebx, ebx
  mov ecx, 1000
.jumps:
  mov [jump_esp], esp
  mov edx, 50
  call dive
  fail "dive came back"
.landed:
  mov esp, [jump_esp]
  inc ebx
  loop .jumps
  show "longjmp"
  mov dword [other_esp], other_stack - 4
  mov dword [other_stack - 4], coroutine
  xor ebx, ebx
  mov ecx, 5000
.switches:
  call switch
  inc ebx
  loop .switches
  show "coroutines"
  mov ebx, esp
  mov ecx, 1000
.ret_n:
  push ecx
  push ecx
  push ecx
  call .three
  loop .ret_n
  sub ebx, esp
  show "ret n"
  ret
.three:
  ret 12
.wrong:
  fail "popped another address"

change:
  mov dword [esp], main.changed
  ret

dive:
  dec edx
  jz main.landed
  call dive
  fail "unwound"

switch:
  mov eax, esp
  mov esp, [other_esp]
  mov [other_esp], eax
  ret
coroutine:
  inc ebx
  call switch
  jmp coroutine

align 4
jump_esp: dd 0
other_esp: dd 0
  times 64 dd 0
other_stack:
