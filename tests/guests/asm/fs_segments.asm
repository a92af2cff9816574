; FS and GS with bases and limits: per-thread data as kernels and C libraries use it, in ring 0 and
; in ring 3; a limit in FS is checked; negative offsets wrap; string and stack operands through FS.
; exit: 0
; serial:
;   fs 00000111 gs 00000222
;   sum 0001e848
;   wrapped 00000333
;   fault 0d error 00000000
;   fs again 00000111
;   lodsd 00000111
;   pushed 00000111
;   ring 3 00000111 00000444
%include "guest.inc"

FS_WIDE  equ 0x30
GS_WIDE  equ 0x38
FS_SMALL equ 0x40
FS_USER  equ 0x4b

main:
  gdt_entry FS_WIDE, SPARE, 0xfffff, 0xc093
  gdt_entry GS_WIDE, SPARE + 0x1000, 0xfffff, 0xc093
  gdt_entry FS_SMALL, SPARE, 0xf, 0x4093
  gdt_entry FS_USER, SPARE, 0xfffff, 0xc0f3
  mov dword [SPARE], 0x111
  mov dword [SPARE + 0x1000], 0x222
  mov dword [SPARE - 4], 0x333
  mov eax, FS_WIDE
  mov fs, eax
  mov eax, GS_WIDE
  mov gs, eax
  print "fs "
  mov eax, [fs:0]
  call print_hex
  print " gs "
  mov eax, [gs:0]
  call print_hex
  say ""
  mov ecx, 50000
  mov dword [fs:8], 0
.next:
  inc dword [fs:8]
  add dword [gs:8], 2
  mov eax, [fs:8]
  cmp eax, ecx
  jb .next
  mov eax, [fs:8]
  add eax, [gs:8]
  sub eax, 25000
  print "sum "
  call print_hex
  say ""
  print "wrapped "
  mov ebx, -4
  mov eax, [fs:ebx]
  call print_hex
  say ""
  mov eax, FS_SMALL
  mov fs, eax
  mov eax, [fs:0xc]
  try .limit
  mov eax, [fs:0xd]
  fail "no fault"
.limit:
  call report_fault
  mov eax, FS_WIDE
  mov fs, eax
  print "fs again "
  mov eax, [fs:0]
  call print_hex
  say ""
  print "lodsd "
  xor esi, esi
  fs lodsd
  call print_hex
  say ""
  print "pushed "
  push dword [fs:0]
  pop eax
  call print_hex
  say ""
  call paging_on
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  user_page SPARE
  call flush_tlb
  mov dword [USER_STACK - 0x800], 0x444
  print "ring 3 "
  mov eax, user_code
  mov edx, USER_STACK
  call run_user
  mov eax, [USER_STACK - 0x7f0]
  call print_hex
  print " "
  mov eax, [USER_STACK - 0x7ec]
  call print_hex
  say ""
  ret

align 4096
user_code:
  mov eax, FS_USER
  mov fs, eax
  mov ecx, [fs:0]
  mov [USER_STACK - 0x7f0], ecx
  mov ebx, USER_STACK - 0x800 - SPARE
  mov ecx, [fs:ebx]
  mov [USER_STACK - 0x7ec], ecx
  user_exit
align 4096
