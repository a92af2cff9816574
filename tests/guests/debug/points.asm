; Something to stop in: a function called five times, data it changes, a loop in ring 3 that ends when
; a debugger sets [flag]. The code counts its own bytes before and after: breakpoints are not in them.
[map symbols points.map]
%include "guest.inc"

main:
  call paging_on
  user_page addr(user_start)
  user_page addr(flag)
  user_page USER_STACK - 4
  call checksum
  mov [sum_before], eax
  mov ecx, 5
again:
  call work
  loop again
  mov ecx, 4
  mov edi, buffer
  mov eax, 0x5a5a5a5a
filling:
  rep stosd
filled:
  sgdt [table]
after_sgdt:
  mov eax, user_start
  mov edx, USER_STACK
  call run_user
  call checksum
  check_equal [sum_before], eax, "the code has changed"
  finish 0

work:
  inc dword [counter]
work_next:
  mov eax, [counter]
  ret

; EAX: the sum of the bytes of `work` and of the user code.
checksum:
  xor eax, eax
  xor edx, edx
  mov esi, main
  mov ecx, code_end - main
.next:
  mov dl, [esi]
  add eax, edx
  inc esi
  loop .next
  mov esi, user_start
  mov ecx, user_end - user_start
.user:
  mov dl, [esi]
  add eax, edx
  inc esi
  loop .user
  ret
code_end:

align 4096
user_start:
  mov ecx, 1000
user_loop:
  cmp dword [flag], 0
after_flag:
  je user_loop
user_point:
  nop
  user_exit
user_end:

align 4096
flag: dd 0
align 4096
counter: dd 0x1000
sum_before: dd 0
buffer: times 4 dd 0
table: dd 0, 0
