; Ring 3: returns that no call made, calls that no return ends, returns to elsewhere that carry a
; flag, stacks switched under way; often enough for each way that generated code compares returns.
; exit: 0
; serial:
;   pushed 00002710
;   popped 00002710
;   changed 00002710
;   carried 00001388
;   longjmp 000003e8
;   coroutines 00002710
;   tables 00009c40
%include "guest.inc"

%macro in_user 2                  ; text, label; EBX of the program
  print %1, " "
  mov eax, %2
  mov edx, USER_STACK
  call run_user
%endmacro

main:
  call paging_on
  user_page addr(user_code)
  user_page addr(user_code) + 0x1000
  user_page USER_STACK - 0x1000
  call flush_tlb
  hook 0x81, dump
  mov byte [IDT_AREA + 0x81 * 8 + 5], 0xee
  in_user "pushed", pushes
  in_user "popped", pops
  in_user "changed", changes
  in_user "carried", carries
  in_user "longjmp", jumps
  in_user "coroutines", switches
  in_user "tables", tables
  ret

dump:
  mov eax, [ebp + frame.ebx]
  call print_hex
  say ""
  ret

%macro show 0
  int 0x81
  user_exit
%endmacro

align 4096
user_code:
pushes:
  xor ebx, ebx
  mov ecx, 10000
.again:
  push dword .pushed
  ret
.pushed:
  inc ebx
  loop .again
  show

pops:
  xor ebx, ebx
  mov ecx, 10000
.again:
  call .popped
.popped:
  pop eax
  cmp eax, .popped
  jne .wrong
  inc ebx
  loop .again
.wrong:
  show

changes:
  xor ebx, ebx
  mov ecx, 10000
.again:
  call .change
  jmp .wrong
.changed:
  inc ebx
  loop .again
.wrong:
  show
.change:
  mov dword [esp], .changed
  ret

; The flags of the RET are those where it leads, each time: CF set in half of the turns.
carries:
  xor ebx, ebx
  mov ecx, 10000
.again:
  call .carry
  jmp .wrong
.carried:
  adc ebx, 0
  loop .again
.wrong:
  show
.carry:
  mov dword [esp], .carried
  bt ecx, 0
  ret

jumps:
  xor ebx, ebx
  mov ecx, 1000
.again:
  mov ebp, esp
  mov edx, 50
  call .dive
  jmp .wrong
.landed:
  mov esp, ebp
  inc ebx
  loop .again
.wrong:
  show
.dive:
  dec edx
  jz .landed
  call .dive
  jmp .wrong

switches:
  mov dword [other_esp], other_stack - 4
  mov dword [other_stack - 4], coroutine
  xor ebx, ebx
  mov ecx, 5000
.again:
  call switch
  inc ebx
  loop .again
  show

switch:
  mov eax, esp
  mov esp, [other_esp]
  mov [other_esp], eax
  ret
coroutine:
  inc ebx
  call switch
  jmp coroutine

; Calls and jumps through tables, to changing places.
tables:
  xor ebx, ebx
  mov ecx, 10000
.again:
  mov eax, ecx
  and eax, 3
  mov edx, eax
  call [.calls + eax * 4]
  jmp [.jumps + edx * 4]
.one:
  inc ebx
  inc ebx
  loop .again
  show
.two:
  add ebx, 2
  loop .again
  show
.f:
  inc ebx
.g:
  inc ebx
  ret
.h:
  add ebx, 2
  ret
.calls:
  dd .f, .h, .f, .h
.jumps:
  dd .one, .two, .two, .one

align 4096
other_esp: dd 0
  times 64 dd 0
other_stack:
