; IRET to ring 3, INT 0x80 back, with arguments; what ring 3 may not read, write, run or execute.
; exit: 0
; serial:
;   12345678
;   fault 0e error 00000005
;   cr2 00280000 cs 0000001b
;   fault 0e error 00000007
;   fault 0e error 00000005
;   fault 0e error 00000004
;   fault 0d error 00000000
;   fault 0d error 00000000
;   fault 0d error 00000000
;   fault 0d error 00000000
;   fault 0d error 00000000
;   fault 0d error 00000000
;   fault 0d error 00000000
;   fault 0d error 0000010a
;   fault 0d error 00000008
;   thousand calls
%include "guest.inc"

; runs the ring-3 code at the label; it must fault
%macro user_fault 1
  try %%caught
  mov eax, %1
  mov edx, USER_STACK
  call run_user
  fail "ring 3 came back"
%%caught:
  call report_fault
%endmacro

main:
  call paging_on
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  call flush_tlb
  mov eax, user_code
  mov edx, USER_STACK
  call run_user
  user_fault reads_supervisor
  print "cr2 "
  mov eax, [fault_address]
  call print_hex
  print " cs "
  mov eax, [fault_cs]
  call print_hex
  say ""
  user_fault writes_supervisor
  user_fault runs_supervisor
  user_fault reads_nothing
  user_fault does_cli
  user_fault does_sti
  user_fault does_hlt
  user_fault does_in
  user_fault does_out
  user_fault does_mov_cr0
  user_fault does_lgdt
  user_fault does_int_21
  user_fault loads_kernel_ss
  mov eax, thousand_calls
  mov edx, USER_STACK
  call run_user
  cmp dword [USER_STACK - 0x900], 1000
  jne .wrong
  say "thousand calls"
  ret
.wrong:
  fail "lost count"

align 4096
user_code:
  mov eax, 1
  mov ebx, 0x12345678
  int 0x80
  user_exit
reads_supervisor:
  mov eax, [STACK_TOP]
  user_exit
writes_supervisor:
  mov [STACK_TOP], eax
  user_exit
runs_supervisor:
  mov eax, main
  jmp eax
reads_nothing:
  mov eax, [VIRTUAL]
  user_exit
does_cli:
  cli
  user_exit
does_sti:
  sti
  user_exit
does_hlt:
  hlt
  user_exit
does_in:
  in al, 0x60
  user_exit
does_out:
  out 0xf4, al
  user_exit
does_mov_cr0:
  mov eax, cr0
  user_exit
does_lgdt:
  lgdt [user_code]
  user_exit
does_int_21:
  int 0x21
  user_exit
loads_kernel_ss:
  mov eax, CODE0
  mov ds, eax
  user_exit
thousand_calls:
  mov dword [USER_STACK - 0x900], 0
.next:
  inc dword [USER_STACK - 0x900]
  mov eax, 3
  int 0x80                        ; nothing, and returns
  cmp dword [USER_STACK - 0x900], 1000
  jb .next
  user_exit
align 4096
