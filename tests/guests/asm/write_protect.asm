; CR0.WP: with it ring 0 may not write read-only pages, without it may; on and off again; the same
; store instruction each time. Ring 3 never may.
; exit: 0
; serial:
;   fault 0e error 00000003
;   written 00000001
;   fault 0e error 00000003
;   written 00000003
;   fault 0e error 00000007
%include "guest.inc"

main:
  call paging_on
  map VIRTUAL, SPARE | P | U
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  call flush_tlb
  call with_wp
  mov ebx, 1
  call without_wp
  call with_wp
  mov ebx, 3
  call without_wp
  try .user
  mov eax, user_code
  mov edx, USER_STACK
  call run_user
  fail "no fault"
.user:
  call report_fault
  ret

with_wp:
  mov eax, cr0
  or eax, 0x10000
  mov cr0, eax
  try .caught
  call store
  fail "no fault"
.caught:
  jmp report_fault

without_wp:
  mov eax, cr0
  and eax, ~0x10000
  mov cr0, eax
  mov eax, [VIRTUAL]
  call store
  print "written "
  mov eax, [VIRTUAL]
  call print_hex
  say ""
  ret

store:
  mov [VIRTUAL], ebx
  ret

align 4096
user_code:
  mov [VIRTUAL], eax
  user_exit
align 4096
