; Ring 3 finds a kernel return address and does RET to it, directly and through a mismatched call:
; the fetch faults, whatever return prediction there is.
; exit: 0
; serial:
;   kernel call 00000007
;   fault 0e error 00000005
;   at kernel yes cs 0000001b
;   fault 0e error 00000005
;   at kernel yes cs 0000001b
;   fault 0e error 00000005
;   at kernel yes cs 0000001b
%include "guest.inc"

%macro user_fault 1
  try %%caught
  mov eax, %1
  mov edx, USER_STACK
  call run_user
  fail "ring 3 came back"
%%caught:
  call report_fault
  call show_place
%endmacro

main:
  call paging_on
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  call flush_tlb
  mov ecx, 100                    ; kernel code that is translated, linked and on return stacks
.warm:
  call kernel_function
  loop .warm
  print "kernel call "
  mov eax, [kernel_count]
  and eax, 7
  or eax, 3
  call print_hex
  say ""
  user_fault user_code
  user_fault through_call
  user_fault by_jump
  ret

show_place:
  mov eax, [fault_eip]
  cmp eax, kernel_function.back
  jne .no
  cmp eax, [fault_address]
  jne .no
  print "at kernel yes cs "
  mov eax, [fault_cs]
  call print_hex
  say ""
  ret
.no:
  fail "elsewhere"

kernel_function:
  call .inner
.back:
  inc dword [kernel_count]
  ret
.inner:
  ret
kernel_count: dd 0

align 4096
user_code:
  push dword kernel_function.back
  ret
through_call:
  call .change
  user_exit
.change:
  mov dword [esp], kernel_function.back
  ret
by_jump:
  mov eax, kernel_function.back
  jmp eax
align 4096
