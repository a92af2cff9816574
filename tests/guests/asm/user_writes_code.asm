; Ring 3 writes code it runs: the next instruction, through an alias, on the page of its stack; ring
; 0 writes code ring 3 runs, and the other way round; before and after the program has become hot.
; exit: 0
; serial:
;   next 00000002 alias 00000077 stack 00000055 kernel 00000099
;   next 00000002 alias 00000077 stack 00000055 kernel 00000099
;   ring 0 runs 00000088
%include "guest.inc"

CODE  equ VIRTUAL
ALIAS equ VIRTUAL + 0x1000
RESULT   equ USER_STACK - 0x800

main:
  call paging_on
  user_page addr(user_code)
  user_page addr(user_code) + 0x1000
  user_page USER_STACK - 0x1000
  map CODE, SPARE | P | W | U
  map ALIAS, SPARE | P | W | U
  call flush_tlb
  call round
  mov eax, warm
  call in_user
  call round
  mov eax, places_88
  call in_user
  print "ring 0 runs "
  call CODE
  call print_hex
  say ""
  ret

round:
  mov eax, next_instruction
  call in_user
  print "next "
  call show
  mov eax, by_alias
  call in_user
  print " alias "
  call show
  mov eax, on_stack
  call in_user
  print " stack "
  call show
  mov dword [SPARE], 0x000000b8
  mov word [SPARE + 4], 0xc300
  mov eax, runs_code
  call in_user
  mov byte [SPARE + 1], 0x99      ; by another linear address, in ring 0
  mov eax, runs_code
  call in_user
  print " kernel "
  call show
  say ""
  ret

show:
  mov eax, [RESULT]
  jmp print_hex

in_user:
  mov edx, USER_STACK
  jmp run_user

align 4096
user_code:
warm:
  mov ecx, 20000
.next:
  mov eax, 3
  int 0x80
  loop .next
  user_exit
next_instruction:
  mov ecx, 2
.again:
  mov byte [.changed + 1], 1
  mov byte [.changed + 1], 2
.changed:
  mov eax, 1
  loop .again
  mov [RESULT], eax
  user_exit
by_alias:
  mov ecx, 0x70
.next:
  mov dword [ALIAS], 0x000000b8
  mov word [ALIAS + 4], 0xc300
  mov [ALIAS + 1], cl
  mov edx, CODE
  call edx
  cmp eax, ecx
  jne .wrong
  inc ecx
  cmp ecx, 0x78
  jne .next
  mov [RESULT], eax
.wrong:
  user_exit
on_stack:
  sub esp, 16
  mov dword [esp], 0x000055b8
  mov word [esp + 4], 0xc300
  mov edx, esp
  call edx                        ; its return address goes to the same page
  mov byte [esp + 1], 0x54
  call edx
  inc eax
  mov [RESULT], eax
  add esp, 16
  user_exit
runs_code:
  mov edx, CODE
  call edx
  mov [RESULT], eax
  user_exit
places_88:
  mov dword [CODE], 0x000088b8
  mov word [CODE + 4], 0xc300
  user_exit
align 4096
