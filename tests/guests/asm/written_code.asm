; Ring 3, then ring 0, writes short functions side by side into a page, by bytes, words and
; doublewords, in place of older ones, and calls each, the one before it and the one behind it.
; Counters are in the same page.
; exit: 0
; serial:
;   ring 3: 000005da calls, counted 000005da
;   ring 0: 00000831 calls, counted 00000831
%include "guest.inc"

CODE      equ VIRTUAL
EXPECTED  equ VIRTUAL + 0x1000    ; by function; 0: not written yet
CALLS     equ EXPECTED + 0xf00
COUNTER   equ CODE + 4000
FUNCTIONS equ 600
TURNS     equ 700
LENGTH    equ 6                   ; mov eax, NUMBER; ret

main:
  call paging_on
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  map CODE, SPARE | P | W | U
  map EXPECTED, (SPARE + 0x1000) | P | W | U
  call flush_tlb
  mov eax, from_user
  mov edx, USER_STACK
  call run_user
  print "ring 3: "
  call show
  call generate
  print "ring 0: "
  call show
  ret

show:
  mov eax, [CALLS]
  call print_hex
  print " calls, counted "
  mov eax, [COUNTER]
  call print_hex
  say ""
  mov dword [CALLS], 0
  mov dword [COUNTER], 0
  ret

align 4096
user_code:
from_user:
  call generate
  user_exit

generate:
  xor esi, esi
.turn:
  mov eax, esi
  xor edx, edx
  mov ecx, FUNCTIONS
  div ecx                         ; EDX: which function
  imul edi, edx, LENGTH
  add edi, CODE
  lea eax, [esi + 1]
  imul eax, eax, 0x01010193
  mov [EXPECTED + edx * 4], eax
  mov ecx, esi
  and ecx, 3
  jz .by_bytes
  cmp ecx, 1
  je .by_words
  mov byte [edi], 0xb8
  mov [edi + 1], eax
  mov byte [edi + 5], 0xc3
  jmp .written
.by_bytes:
  mov byte [edi], 0xb8
  mov [edi + 1], al
  mov [edi + 2], ah
  shr eax, 16
  mov [edi + 3], al
  mov [edi + 4], ah
  mov byte [edi + 5], 0xc3
  jmp .written
.by_words:
  movzx ecx, al
  shl ecx, 8
  or ecx, 0xb8
  mov [edi], cx
  shr eax, 8
  mov [edi + 2], ax
  shr eax, 16
  or eax, 0xc300
  mov [edi + 4], ax
.written:
  test edx, edx
  jz .call
  mov ecx, [edi - 1]              ; the end of the one before, and the beginning of this one
  mov [edi - 1], ecx
.call:
  call .check
  dec edx
  js .behind
  call .check
.behind:
  add edx, 2
  cmp dword [EXPECTED + edx * 4], 0
  je .next
  call .check
.next:
  inc esi
  cmp esi, TURNS
  jne .turn
  ret
.check:
  imul ebx, edx, LENGTH
  add ebx, CODE
  call ebx
  cmp eax, [EXPECTED + edx * 4]
  jne .wrong
  inc dword [COUNTER]
  inc dword [CALLS]
  ret
.wrong:
  mov dword [CALLS], 0xbad
  add esp, 4
  ret
align 4096
