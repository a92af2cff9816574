; More scattered page mappings than a host process may have, in ring 0 and in ring 3, all read and
; written: every one shows its frame. Both twice, as the second turn finds what the first left.
; exit: 0
; serial:
;   turn 1 ok
;   turn 2 ok
;   ring 3 ok
%include "guest.inc"

TABLES equ SPARE                  ; 80 tables: 320 MiB of linear addresses at 1 GiB
COUNT  equ 80 * 1024
START  equ 0x40000000
FRAMES equ 0x600000               ; 256 frames

main:
  call make_page_tables
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  mov edi, TABLES
  xor ecx, ecx
.fill:                            ; page n is frame (n * 7) % 256: no two neighbours are neighbours
  imul eax, ecx, 7
  and eax, 255
  shl eax, 12
  add eax, FRAMES + (P | W)
  cmp ecx, COUNT / 2              ; the upper half is the user's
  jb .supervisor
  or eax, U
.supervisor:
  stosd
  inc ecx
  cmp ecx, COUNT
  jb .fill
  mov edi, PAGE_DIR + (START >> 22) * 4
  mov eax, TABLES | P | W | U
  mov ecx, COUNT / 1024
.directory:
  stosd
  add eax, 0x1000
  loop .directory
  call enable_paging
  xor ecx, ecx
.frames:
  mov eax, ecx
  shl eax, 12
  mov [FRAMES + eax], ecx
  inc ecx
  cmp ecx, 256
  jb .frames
  mov edx, START
  xor ecx, ecx
  call check
  say "turn 1 ok"
  mov edx, START
  xor ecx, ecx
  call check
  say "turn 2 ok"
  mov eax, user_code
  mov edx, USER_STACK
  call run_user
  cmp dword [USER_STACK - 0x800], COUNT
  jne .wrong
  say "ring 3 ok"
  ret
.wrong:
  fail "ring 3 saw another frame"

; EDX address, ECX page number
check:
  imul eax, ecx, 7
  and eax, 255
  cmp [edx], eax
  jne .wrong
  mov [edx + 8], ecx
  cmp [edx + 8], ecx
  jne .wrong
  add edx, 0x1000
  inc ecx
  cmp ecx, COUNT / 2
  jb check
  ret
.wrong:
  fail "another frame"

align 4096
user_code:
  mov ecx, 10000
.warm:
  mov eax, 3
  int 0x80
  loop .warm
  mov edx, START + COUNT / 2 * 0x1000
  mov ecx, COUNT / 2
.next:
  imul eax, ecx, 7
  and eax, 255
  cmp [edx], eax
  jne .done
  mov [edx + 8], ecx
  cmp [edx + 8], ecx
  jne .done
  add edx, 0x1000
  inc ecx
  cmp ecx, COUNT
  jb .next
.done:
  mov [USER_STACK - 0x800], ecx
  user_exit
align 4096
