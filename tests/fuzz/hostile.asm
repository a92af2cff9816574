; The frame around random code: its page tables, its interrupts, and a way on after every exception.
; The runner hands in: blob.bin (code and data), tables.bin (2048 page-table entries for 4..12 MiB),
; and the constants SEED, ROUNDS, TIMER, PAGING, CR4_BITS.
%include "guest.inc"

BLOB_MASK equ 0x3fff

main:
%if PAGING
  call make_page_tables
  mov esi, tables
  mov edi, PAGE_TABLES + 0x1000
  mov ecx, 2048
  rep movsd
  user_page addr(blob)
  user_page addr(blob) + 0x1000
  user_page addr(blob) + 0x2000
  user_page addr(blob) + 0x3000
  user_page addr(blob) + 0x4000
  user_page USER_STACK - 0x1000
  mov eax, cr4
  or eax, CR4_BITS
  mov cr4, eax
  call enable_paging
%else
  mov eax, CR4_BITS
  mov cr4, eax
%endif
%if TIMER
  mov ecx, TIMER
  call start_timer
%endif
  hook 0x80, leave_user

again:
  mov eax, DATA0
  mov ds, eax
  mov es, eax
  mov esp, STACK_TOP
  cld
  dec dword [rounds]
  jz done
  try again
  mov eax, [seed]                 ; xorshift32
  mov ecx, eax
  shl ecx, 13
  xor eax, ecx
  mov ecx, eax
  shr ecx, 17
  xor eax, ecx
  mov ecx, eax
  shl ecx, 5
  xor eax, ecx
  mov [seed], eax
  mov ebp, eax
  and eax, BLOB_MASK
  add eax, blob
  mov ebx, blob + 0x800
  mov esi, SPARE + 0x1800
  mov edi, SPARE + 0x4ff0
  mov ecx, 0x20
  mov edx, 0x3f8
  test ebp, 0x00300000
  jz .ring_3
  test ebp, 0x00400000
  jz .flags
  sti
.flags:
  jmp eax
.ring_3:
  push dword DATA3
  push dword USER_STACK
  push dword 0x202
  push dword CODE3
  push eax
  mov eax, DATA3
  mov ds, eax
  mov es, eax
  iret

done:
  finish 0x11

leave_user:
  mov dword [fault_resume], 0
  jmp again

align 4
seed: dd SEED
rounds: dd ROUNDS
align 4
tables: incbin "tables.bin"
align 4096
blob: incbin "blob.bin"
