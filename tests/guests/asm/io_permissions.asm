; The I/O permission bitmap: ring 3 may use the ports whose bits are clear, others fault, also the
; last port of a wide access; IOPL 3 allows all.
; exit: 0
; serial:
;   Afault 0d error 00000000
;   fault 0d error 00000000
;   fault 0d error 00000000
;   B
%include "guest.inc"

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
  gdt_entry TSS0, TSS_AREA, 104 + 0x100 - 1, 0x89
  mov edi, TSS_AREA + 104
  mov ecx, 0x40
  mov eax, 0xffffffff
  rep stosd
  and byte [TSS_AREA + 104 + 0x3f8 / 8], 0xfe
  mov eax, TSS0
  ltr ax
  mov eax, prints
  mov edx, USER_STACK
  call run_user
  user_fault next_port
  user_fault wide
  user_fault beyond
  pushfd
  or dword [esp], 0x3000
  popfd
  mov eax, all_allowed
  mov edx, USER_STACK
  jmp run_user

align 4096
user_code:
prints:
  mov edx, 0x3f8
  mov al, 'A'
  out dx, al
  user_exit
next_port:
  mov edx, 0x3f9
  in al, dx
  user_exit
wide:
  mov edx, 0x3f8
  in ax, dx
  user_exit
beyond:
  mov edx, 0xcfc
  in eax, dx
  user_exit
all_allowed:
  mov edx, 0x3fd
.wait:
  in al, dx
  test al, 0x20
  jz .wait
  mov edx, 0x3f8
  mov al, 'B'
  out dx, al
  mov al, 10
  out dx, al
  user_exit
align 4096
