; Two ring-3 programs in two address spaces, both long-running, at the same addresses: each sees its
; own data and its own code at each switch; a page both have is one page. The second's data is in
; another frame at each turn, changed while the first runs.
; exit: 0
; serial:
;   own 00002710 00002710 00002710
;   shared 00007530
;   code 00000001 00000002
%include "guest.inc"

OTHER_DIR    equ SPARE + 0x10000
OTHER_TABLES equ SPARE + 0x11000
PRIVATE      equ VIRTUAL
CODE         equ VIRTUAL + 0x1000
SHARED       equ VIRTUAL + 0x2000

main:
  call make_page_tables
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  map PRIVATE, SPARE | P | W | U
  map CODE, (SPARE + 0x1000) | P | U
  map SHARED, (SPARE + 0x2000) | P | W | U
  mov esi, PAGE_DIR
  mov edi, OTHER_DIR
  mov ecx, 1024
  rep movsd
  mov esi, PAGE_TABLES + 0x2000
  mov edi, OTHER_TABLES
  mov ecx, 1024
  rep movsd
  mov dword [OTHER_DIR + (VIRTUAL >> 22) * 4], OTHER_TABLES | P | W | U
  mov dword [OTHER_TABLES], SPARE + 0x3000 | P | W | U
  mov dword [OTHER_TABLES + 4], SPARE + 0x4000 | P | U
  mov dword [SPARE + 0x1000], 0x000001b8
  mov word [SPARE + 0x1004], 0xc300
  mov dword [SPARE + 0x4000], 0x000002b8
  mov word [SPARE + 0x4004], 0xc300
  call enable_paging
  mov ecx, 100                    ; a hundred turns of a hundred system calls each
.next:
  push ecx
  mov eax, PAGE_DIR
  call turn
  xor dword [OTHER_TABLES], 0x6000        ; frame SPARE + 0x3000 or SPARE + 0x5000
  mov eax, OTHER_DIR
  call turn
  pop ecx
  loop .next
  print "own "
  mov eax, [SPARE]
  call print_hex
  print " "
  mov eax, [SPARE + 0x3000]
  call print_hex
  print " "
  mov eax, [SPARE + 0x5000]
  call print_hex
  say ""
  print "shared "
  mov eax, [SPARE + 0x2000]
  call print_hex
  say ""
  print "code "
  mov eax, [SPARE + 4]
  call print_hex
  print " "
  mov eax, [SPARE + 0x3004]
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
  mov edx, CODE
  call edx
  mov [PRIVATE + 4], eax
  add [PRIVATE], eax
  add [SHARED], eax
  mov eax, 3
  int 0x80
  loop .next
  user_exit
align 4096
