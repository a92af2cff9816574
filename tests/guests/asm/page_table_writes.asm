; Page tables that are written by every kind of store, in turn, with a CR3 load or an INVLPG behind
; each: the next access goes where the entry says. Two address spaces, so that tables are compared
; often enough to be traced; from ring 3, too; through two linear addresses; a table that becomes
; data, then code, then a table again.
; exit: 0
%include "guest.inc"

ROUNDS      equ 100
OTHER_DIR   equ SPARE + 0x20000
OTHER_TABLE equ SPARE + 0x21000   ; of 8..12 MiB, in the other space
FRAMES      equ SPARE + 0x30000   ; 16, each with its number in its first word
PAGE        equ VIRTUAL + 0x3000
TABLE       equ PAGE_TABLES + 0x2000
ENTRY       equ TABLE + 3 * 4
ALIAS       equ VIRTUAL + 0x401000 ; another linear page of the same table
ALIAS_ENTRY equ ALIAS + 3 * 4

main:
  call make_page_tables
  mov esi, PAGE_DIR
  mov edi, OTHER_DIR
  mov ecx, 1024
  rep movsd
  mov esi, TABLE
  mov edi, OTHER_TABLE
  mov ecx, 1024
  rep movsd
  mov dword [OTHER_DIR + 8], OTHER_TABLE | P | W | U
  mov dword [OTHER_TABLE + 3 * 4], (FRAMES + 15 * 0x1000) | P | W | U
  mov eax, FRAMES
  xor ecx, ecx
.number:
  mov [eax], ecx
  add eax, 0x1000
  inc ecx
  cmp ecx, 16
  jb .number
  map ALIAS, TABLE | P | W | U
  call enable_paging
  mov ebp, ROUNDS
.next:
  call by_mov
  call by_alias
  call by_push
  call by_exchange
  call by_compare_exchange
  call by_string
  call by_copy
  call by_wide_store
  call by_byte
  call by_invlpg
  call by_bits
  dec ebp
  jnz .next
  call by_user
  call becomes_data
  call becomes_code
  mov ebp, ROUNDS
.again:
  call by_mov
  call by_alias
  dec ebp
  jnz .again
  finish 0

; EAX -> an entry for frame (%1 + EBP) mod 8; EDI: its number
%macro entry_for 1
  lea edi, [ebp + %1]
  and edi, 7
  mov eax, edi
  shl eax, 12
  add eax, FRAMES + (P | W | U)
%endmacro

; To the other space, where the page is frame 15, and back, where it is frame EDI.
look_in_both:
  mov eax, OTHER_DIR
  mov cr3, eax
  check_equal [PAGE], 15, "in the other space"
  mov eax, PAGE_DIR
  mov cr3, eax
look:
  mov eax, [PAGE]
  check_equal eax, edi, "after the entry was written"
  mov [PAGE + 4], ebp
  mov eax, edi
  shl eax, 12
  check_equal [FRAMES + 4 + eax], ebp, "what was stored there"
  ret

by_mov:
  entry_for 0
  mov [ENTRY], eax
  jmp look_in_both

by_alias:
  entry_for 1
  mov [ALIAS_ENTRY], eax
  jmp look_in_both

by_push:
  entry_for 2
  mov ebx, esp
  mov esp, ENTRY + 4
  push eax
  mov esp, ebx
  jmp look_in_both

by_exchange:
  entry_for 3
  lock xchg [ENTRY], eax
  jmp look_in_both

by_compare_exchange:
  entry_for 4
  mov ecx, eax
  mov eax, [ENTRY]
.again:
  lock cmpxchg [ENTRY], ecx
  jne .again
  jmp look_in_both

by_string:
  entry_for 5
  push edi
  mov edi, ENTRY
  mov ecx, 1
  rep stosd
  pop edi
  jmp look_in_both

by_copy:
  entry_for 6
  mov [SPARE], eax
  push edi
  mov esi, SPARE
  mov edi, ENTRY
  mov ecx, 4
  rep movsb
  pop edi
  jmp look_in_both

by_wide_store:                    ; two entries at once
  entry_for 7
  movd xmm0, eax
  movq [ENTRY], xmm0
  jmp look_in_both

by_byte:                          ; the byte that has the frame's low bits
  entry_for 1
  mov [ENTRY + 1], ah
  jmp look_in_both

by_invlpg:
  entry_for 3
  mov [ENTRY], eax
  invlpg [PAGE]
  jmp look

; A and D are cleared, and set again by the accesses.
by_bits:
  and dword [ENTRY], ~(ACCESSED | DIRTY)
  mov eax, cr3
  mov cr3, eax
  mov eax, [PAGE]
  mov eax, [ENTRY]
  and eax, ACCESSED | DIRTY
  check_equal eax, ACCESSED, "A alone after a load"
  mov [PAGE + 8], eax
  mov eax, [ENTRY]
  and eax, ACCESSED | DIRTY
  check_equal eax, ACCESSED | DIRTY, "A and D after a store"
  ret

; Ring 3 writes the table, which is mapped for it; the kernel flushes.
by_user:
  user_page USER_STACK - 0x1000
  user_page addr(user_store)
  user_page PAGE_DIR              ; so that nothing depends on which of them are the user's
  mov eax, cr3
  mov cr3, eax
  mov ebp, ROUNDS
.next:
  entry_for 2
  mov [user_value], eax
  push edi
  push ebp
  mov eax, user_store
  mov edx, USER_STACK
  call run_user
  pop ebp
  pop edi
  call look_in_both
  dec ebp
  jnz .next
  ret

; The table is taken out of its directory and used as memory; another is put in its place.
becomes_data:
  mov esi, TABLE
  mov edi, SPARE + 0x50000
  mov ecx, 1024
  rep movsd
  mov eax, PAGE_DIR
  mov dword [PAGE_DIR + 8], (SPARE + 0x50000) | P | W | U
  mov cr3, eax
  mov ecx, 20000
.fill:
  mov [TABLE], ecx
  mov [TABLE + 0x800], ecx
  dec ecx
  jnz .fill
  mov edi, TABLE
  mov eax, 0x90909090
  mov ecx, 1024
  rep stosd
  check_equal [TABLE + 0x800], 0x90909090, "what has become data"
  mov edi, [SPARE + 0x50000 + 3 * 4]
  and edi, ~0xfff
  mov edi, [edi]
  mov ebp, 3
  jmp look

becomes_code:
  mov byte [TABLE + 0x10], 0xc3
  mov dword [TABLE], 0x000011b8   ; mov eax, 0x11; ... ret
  mov byte [TABLE + 4], 0
  mov ecx, TABLE
  call ecx
  check_equal eax, 0x11, "what has become code"
  mov byte [TABLE + 1], 0x22
  call ecx
  check_equal eax, 0x22, "changed code"
  mov esi, SPARE + 0x50000        ; a table again, and its code with it
  mov edi, TABLE
  mov ecx, 1024
  rep movsd
  mov dword [TABLE + 512 * 4], 0x000033b8
  mov dword [TABLE + 513 * 4], 0xc3 << 8
  mov eax, PAGE_DIR
  mov dword [PAGE_DIR + 8], TABLE + (P | W | U)
  mov cr3, eax
  mov ebp, ROUNDS
.next:
  mov ecx, TABLE + 512 * 4
  call ecx
  check_equal eax, 0x33, "code in a table"
  call by_mov
  dec ebp
  jnz .next
  ret

align 4096
user_store:
  mov eax, [user_value]
  mov [ALIAS_ENTRY], eax
  user_exit
user_value: dd 0
align 4096
