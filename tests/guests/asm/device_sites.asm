; One instruction that reaches video memory and RAM in turn, by all lengths, read, written and added to:
; each byte is where it belongs, however the site is translated meanwhile.
; exit: 0
; serial:
;   video memory first: right
;   RAM first: right
;   in turn: right
%include "guest.inc"

VIDEO equ 0xb8000
BUFFER equ SPARE
ROUNDS equ 40
CELLS equ 64

; edi: where, ecx: how often. Adds 1 to each of CELLS words there, by a byte, a word and a double word.
add_to_cells:
  xor ebx, ebx
.next:
  mov ax, [edi + ebx * 2]
  inc ax
  mov [edi + ebx * 2], al
  mov [edi + ebx * 2 + 1], ah
  inc ebx
  cmp ebx, CELLS
  jb .next
  mov ebx, CELLS / 2
.pairs:
  add dword [edi + ebx * 4 - 4], 0x00010001
  mov edx, [edi + ebx * 4 - 4]
  sub edx, 0x00010001
  mov [edi + ebx * 4 - 4], edx
  dec ebx
  jnz .pairs
  loop add_to_cells
  ret

clear:
  mov edi, VIDEO
  call .one
  mov edi, BUFFER
.one:
  mov ecx, CELLS
  xor eax, eax
  rep stosw
  ret

; Both places hold eax in each cell.
%macro expect_cells 1
  mov eax, %1
  mov edi, VIDEO
  call check_cells
  mov edi, BUFFER
  call check_cells
  print "right", 10
%endmacro

check_cells:
  mov ecx, CELLS
  repe scasw
  jne .wrong
  ret
.wrong:
  fail "a cell is wrong"

main:
  print "video memory first: "
  call clear
  mov edi, VIDEO
  mov ecx, ROUNDS
  call add_to_cells
  mov edi, BUFFER
  mov ecx, ROUNDS
  call add_to_cells
  expect_cells ROUNDS
  print "RAM first: "
  call clear
  mov edi, BUFFER
  mov ecx, ROUNDS
  call add_to_cells
  mov edi, VIDEO
  mov ecx, ROUNDS
  call add_to_cells
  expect_cells ROUNDS
  print "in turn: "
  call clear
  mov esi, ROUNDS
.turn:
  mov edi, VIDEO
  mov ecx, 1
  call add_to_cells
  mov edi, BUFFER
  mov ecx, 1
  call add_to_cells
  dec esi
  jnz .turn
  expect_cells ROUNDS
  finish 0
