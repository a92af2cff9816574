; An instruction that begins on a page two address spaces share and ends on one they do not: each
; space runs its own. In ring 3 and, with both pages remapped, after a change of the second page only.
; exit: 0
; serial:
;   first 000001aa
;   second 000002aa
;   first 000001aa
;   remapped 000003aa
%include "guest.inc"

OTHER_DIR    equ SPARE + 0x10000
OTHER_TABLES equ SPARE + 0x11000
CODE         equ VIRTUAL                ; shared page; the instruction is in its last two bytes
TAIL         equ VIRTUAL + 0x1000       ; each space its own
RESULT       equ VIRTUAL + 0x2000

main:
  call make_page_tables
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  map CODE, SPARE | P | U
  map TAIL, (SPARE + 0x1000) | P | U
  map RESULT, (SPARE + 0x2000) | P | W | U
  mov esi, PAGE_DIR
  mov edi, OTHER_DIR
  mov ecx, 1024
  rep movsd
  mov esi, PAGE_TABLES + 0x2000
  mov edi, OTHER_TABLES
  mov ecx, 1024
  rep movsd
  mov dword [OTHER_DIR + (VIRTUAL >> 22) * 4], OTHER_TABLES | P | W | U
  mov dword [OTHER_TABLES + 4], SPARE + 0x3000 | P | U
  mov word [SPARE + 0xffe], 0xaab8      ; mov eax, 0x...aa
  mov dword [SPARE + 0x1000], 0xc3000001
  mov dword [SPARE + 0x3000], 0xc3000002
  mov dword [SPARE + 0x5000], 0xc3000003
  call enable_paging
  mov eax, PAGE_DIR
  call turn
  print "first "
  call show
  mov eax, OTHER_DIR
  call turn
  print "second "
  call show
  mov eax, PAGE_DIR
  call turn
  print "first "
  call show
  map TAIL, (SPARE + 0x5000) | P | U
  mov eax, PAGE_DIR
  call turn
  print "remapped "
  jmp show

show:
  mov eax, [SPARE + 0x2000]
  call print_hex
  say ""
  ret

turn:
  mov cr3, eax
  mov eax, user_code
  mov edx, USER_STACK
  jmp run_user

align 4096
user_code:
  mov ecx, 100
.next:
  mov edx, CODE + 0xffe
  call edx
  mov [RESULT], eax
  loop .next
  user_exit
align 4096
