; Two address spaces with different ring-3 code at the same linear addresses, with calls between
; pages and returns across; frames shared between the two at one of the addresses.
; exit: 0
; serial:
;   00000111
;   00000222
;   00000111
;   00000222
;   swapped 00000221
;   sum 00009ff6
%include "guest.inc"

OTHER_DIR    equ SPARE + 0x10000
OTHER_TABLES equ SPARE + 0x11000
SHARED       equ VIRTUAL          ; one frame in both spaces
OWN          equ VIRTUAL + 0x1000 ; a frame each
AWAY          equ VIRTUAL + 0x2000 ; a frame each

main:
  call make_page_tables
  user_page USER_STACK - 0x1000
  map SHARED, SPARE | P | U
  map OWN, SPARE + 0x1000 | P | U
  map AWAY, SPARE + 0x2000 | P | U
  mov esi, shared_code
  mov edi, SPARE
  mov ecx, shared_end - shared_code
  rep movsb
  mov edi, SPARE + 0x1000
  mov edx, 0x10
  call place_own
  mov edi, SPARE + 0x3000
  mov edx, 0x20
  call place_own
  mov edi, SPARE + 0x2000
  mov edx, 1
  call place_far
  mov edi, SPARE + 0x4000
  mov edx, 2
  call place_far
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
  mov dword [OTHER_TABLES + 8], SPARE + 0x4000 | P | U
  call enable_paging
  call first
  call print_line
  call second
  call print_line
  call first
  call print_line
  call second
  call print_line
  ; swap only AWAY of the second space for the first's
  mov dword [OTHER_TABLES + 8], SPARE + 0x2000 | P | U
  call second
  print "swapped "
  call print_line
  mov dword [OTHER_TABLES + 8], SPARE + 0x4000 | P | U
  xor ebx, ebx
  mov ecx, 50
.next:
  push ecx
  push ebx
  call first
  pop ebx
  add ebx, eax
  push ebx
  call second
  pop ebx
  add ebx, eax
  pop ecx
  loop .next
  print "sum "
  mov eax, ebx
  call print_line
  ret

; both functions are called with values 0x100 by the shared page
first:
  mov eax, PAGE_DIR
  jmp run_in
second:
  mov eax, OTHER_DIR
run_in:
  mov cr3, eax
  mov ecx, 0x100
  mov edx, 0x200
  cmp eax, PAGE_DIR
  je .go
  mov ecx, edx
.go:
  mov [USER_STACK - 0x800], ecx
  mov eax, SHARED
  mov edx, USER_STACK
  call run_user
  mov eax, [USER_STACK - 0x7fc]
  ret

print_line:
  call print_hex
  say ""
  ret

; The code is position independent but for the absolute calls, which it reaches by registers and
; by relative calls whose distance is that of the linear addresses.
shared_code:
  db 0xe8                         ; call OWN
  dd OWN - (SHARED + 5)
  add eax, [USER_STACK - 0x800]
  mov [USER_STACK - 0x7fc], eax
  user_exit
shared_end:

; EDI frame, EDX value: mov ebx, value; call AWAY; add eax, ebx; ret
place_own:
  mov byte [edi], 0xbb
  mov [edi + 1], edx
  mov byte [edi + 5], 0xe8
  mov dword [edi + 6], AWAY - (OWN + 10)
  mov dword [edi + 10], 0x90c3d801
  ret
place_far:
  mov byte [edi], 0xb8
  mov [edi + 1], edx
  mov byte [edi + 5], 0xc3
  ret
