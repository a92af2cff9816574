; What CR0.EM, CR0.TS, CR4.OSFXSR and CR4.OSXMMEXCPT do to x87, MMX and SSE instructions, in ring 0 and
; in ring 3, each right after the FPU has been used: 00 if it runs, else the vector (SDM 3A 2.5, table
; 9-3, 13.1; #UD comes before #NM). Columns: FLD, MOVD MM0, XORPS, DIVPS of 0 by 0 with that unmasked,
; MOVNTI, which asks for nothing.
; exit: 0
; serial:
;   all allowed, ring 0: 00 00 00 13 00
;   all allowed, ring 3: 00 00 00 13 00
;   osfxsr clear, ring 0: 00 00 06 06 00
;   osfxsr clear, ring 3: 00 00 06 06 00
;   all allowed, ring 0: 00 00 00 13 00
;   all allowed, ring 3: 00 00 00 13 00
;   osxmmexcpt clear, ring 0: 00 00 00 06 00
;   osxmmexcpt clear, ring 3: 00 00 00 06 00
;   ts, ring 0: 07 07 07 07 00
;   ts, ring 3: 07 07 07 07 00
;   ts, osfxsr clear, ring 0: 07 07 06 06 00
;   ts, osfxsr clear, ring 3: 07 07 06 06 00
;   em, ring 0: 07 06 06 06 00
;   em, ring 3: 07 06 06 06 00
;   em and ts, ring 0: 07 06 06 06 00
;   em and ts, ring 3: 07 06 06 06 00
;   all allowed, ring 0: 00 00 00 13 00
;   all allowed, ring 3: 00 00 00 13 00
;   cleared between two of a block: 06
;   and set again: 00
;   emulated between two of a block: 07
;   switched between two of a block: 07
%include "guest.inc"

CR0_RIGHTS equ 0xe                 ; MP, EM, TS
EM equ 4
TS equ 8
OSFXSR equ 0x200
OSXMMEXCPT equ 0x400

%macro judge 3                     ; CR0's bits, CR4's, text
  print %3, ", ring 0: "
  mov dword [cr0_bits], %1
  mov dword [cr4_bits], %2
  mov dword [ring], 0
  call all_columns
  print %3, ", ring 3: "
  mov dword [ring], 3
  call all_columns
%endmacro

main:
  call paging_on
  mov ecx, addr(user_first)
.user:
  mov eax, ecx
  shr eax, 12
  or dword [PAGE_TABLES + eax * 4], U
  add ecx, 0x1000
  cmp ecx, addr(user_last)
  jbe .user
  user_page USER_STACK - 0x1000
  call flush_tlb
  mov eax, cr0
  and eax, ~CR0_RIGHTS
  or eax, 0x20                     ; NE
  mov cr0, eax
  judge 0, OSFXSR | OSXMMEXCPT, "all allowed"
  judge 0, OSXMMEXCPT, "osfxsr clear"
  judge 0, OSFXSR | OSXMMEXCPT, "all allowed"
  judge 0, OSFXSR, "osxmmexcpt clear"
  judge TS, OSFXSR | OSXMMEXCPT, "ts"
  judge TS, OSXMMEXCPT, "ts, osfxsr clear"
  judge EM, OSFXSR | OSXMMEXCPT, "em"
  judge EM | TS, OSFXSR | OSXMMEXCPT, "em and ts"
  judge 0, OSFXSR | OSXMMEXCPT, "all allowed"
  jmp in_one_block

; Each column ten times, so that what is translated or runs directly has been used by then.
all_columns:
  mov dword [column], 0
.next:
  mov dword [turns], 10
.again:
  call use_everything
  mov eax, cr0
  or eax, [cr0_bits]
  mov cr0, eax
  mov eax, cr4
  and eax, ~(OSFXSR | OSXMMEXCPT)
  or eax, [cr4_bits]
  mov cr4, eax
  mov dword [fault_vector], 0
  try .done
  mov eax, [column]
  mov eax, [columns + eax * 4]
  cmp dword [ring], 0
  jne .user
  call eax
  jmp .done
.user:
  mov ebx, eax
  mov eax, enter_column
  mov edx, USER_STACK
  call run_user
.done:
  no_try
  mov ecx, DATA0
  mov ds, ecx
  mov es, ecx
  dec dword [turns]
  jnz .again
  mov eax, [fault_vector]
  call print_byte
  inc dword [column]
  cmp dword [column], 5
  je .end
  print " "
  jmp .next
.end:
  say ""
  ret

; With all of it allowed.
use_everything:
  mov eax, cr4
  or eax, OSFXSR | OSXMMEXCPT
  mov cr4, eax
  mov eax, cr0
  and eax, ~CR0_RIGHTS
  mov cr0, eax
  fninit
  fld1
  fstp st0
  emms
  ldmxcsr [masked]
  xorps xmm1, xmm1
  ldmxcsr [unmasked]
  ret

; SSE instructions of one block with a change between them that only the second must notice.
in_one_block:
  call use_everything
  print "cleared between two of a block: "
  mov ecx, cr4
  mov edx, ecx
  and edx, ~OSFXSR
  mov dword [fault_vector], 0
  try .cleared
  xorps xmm0, xmm0
  mov cr4, edx
  xorps xmm0, xmm0
.cleared:
  no_try
  call tell
  print "and set again: "
  mov dword [fault_vector], 0
  try .again
  mov eax, cr4
  or eax, OSFXSR
  mov cr4, eax
  xorps xmm0, xmm0
.again:
  no_try
  call tell
  call use_everything
  print "emulated between two of a block: "
  mov dword [fault_vector], 0
  try .emulated
  mov edx, cr0
  fld1
  or edx, EM
  mov cr0, edx
  fld1
.emulated:
  no_try
  call tell
  call use_everything
  print "switched between two of a block: "
  mov dword [fault_vector], 0
  try .switched
  mov edx, cr0
  fld1
  or edx, TS
  mov cr0, edx
  fld1
.switched:
  no_try
  call tell
  ret

tell:
  mov eax, [fault_vector]
  call print_byte
  say ""
  ret

cr0_bits: dd 0
cr4_bits: dd 0
ring: dd 0
column: dd 0
turns: dd 0
masked: dd 0x1f80
unmasked: dd 0x1f00                ; but the invalid operation
columns: dd x87, mmx, sse, sse_error, plain

align 4096
user_first:
enter_column:
  call ebx
  user_exit
x87:
  fld1
  fstp st0
  ret
mmx:
  movd mm0, eax
  emms
  ret
sse:
  xorps xmm1, xmm1
  ret
sse_error:
  xorps xmm1, xmm1
  divps xmm1, xmm1
  ret
plain:
  movnti [USER_STACK - 0x800], eax
  ret
user_last:
