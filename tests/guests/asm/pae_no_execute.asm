; PAE paging with NX: data pages cannot be run, by ring 0 or ring 3; the bit cleared, they can; 2 MiB
; pages with NX; the bit reserved while EFER.NXE is off.
; exit: 0
; options: --cpu pae=on,nx=on
; serial:
;   fault 0e error 00000011
;   ran 00000007
;   fault 0e error 00000015
;   fault 0e error 00000011
;   read 000000c3
;   fault 0e error 00000009
%include "guest.inc"

PDPT equ SPARE + 0x10000
PD   equ SPARE + 0x11000
PT   equ SPARE + 0x12000          ; 8..10 MiB
CODE equ VIRTUAL

main:
  mov eax, 0x80000001
  cpuid
  test edx, 1 << 20
  jz .no_nx
  mov edi, PDPT
  xor eax, eax
  mov ecx, 0x3000 / 4
  rep stosd
  mov dword [PDPT], PD | P
  mov dword [PD + 0], 0x000000 | P | W | LARGE
  mov dword [PD + 8], 0x200000 | P | W | U | LARGE
  mov dword [PD + 16], 0x400000 | P | W | LARGE
  mov dword [PD + 24], 0x600000 | P | W | LARGE
  mov dword [PD + 32], PT | P | W | U
  mov dword [PD + 40], 0x400000 | P | W | LARGE
  mov dword [PD + 44], 0x80000000
  mov dword [PT], SPARE | P | W | U
  mov dword [PT + 4], 0x80000000
  mov dword [SPARE], 0x000007b8   ; mov eax, 7; ret
  mov word [SPARE + 4], 0xc300
  mov byte [SPARE + 0x1000], 0xc3
  mov eax, cr4
  or eax, 0x20
  mov cr4, eax
  mov ecx, 0xc0000080
  rdmsr
  or eax, 0x800
  wrmsr
  mov eax, PDPT
  mov cr3, eax
  mov eax, cr0
  or eax, 0x80010000
  mov cr0, eax
  call try_code
  mov dword [PT + 4], 0
  invlpg [CODE]
  call CODE
  print "ran "
  call print_hex
  say ""
  mov dword [PT + 4], 0x80000000
  invlpg [CODE]
  try .user
  mov eax, CODE
  mov edx, USER_STACK
  call run_user
  fail "no fault"
.user:
  call report_fault
  try .large
  mov eax, 0xa00000 + 0x1000
  call eax
  fail "no fault"
.large:
  call report_fault
  print "read "
  movzx eax, byte [0xa00000 + 0x1000]
  call print_hex
  say ""
  mov ecx, 0xc0000080
  rdmsr
  and eax, ~0x800
  wrmsr
  mov eax, cr3
  mov cr3, eax
  try .reserved
  mov al, [CODE]
  fail "no fault"
.reserved:
  call report_fault
  ret
.no_nx:
  fail "no NX"

try_code:
  try .caught
  call CODE
  fail "ran"
.caught:
  jmp report_fault
