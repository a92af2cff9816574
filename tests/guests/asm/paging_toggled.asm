; CR0.PG and CR4.PSE off and on many times: what is read, written and run at a linear address is what
; the mode and the tables of the moment say, however often that was something else before.
; exit: 0
; serial:
;   data: 000000c8
;   code: 000000c8
;   entry written while off: 22222222
;   entry written, and off and on: 11111111
;   frame written while off: 33333333
;   code written while off: 00000007
;   other tables: 22222222
;   large page or table: 00000064
;   large page with pse clear, again: 44444444
;   ring 3 between: 00000014
%include "guest.inc"

; VIRTUAL is mapped to FRAME; the RAM that VIRTUAL is while paging is off says something else.
FRAME equ SPARE
OTHER_FRAME equ SPARE + 0x1000
OTHER_DIR equ SPARE + 0x2000
OTHER_TABLE equ SPARE + 0x3000
LARGE_AT equ 0xc00000              ; its directory entry is a table or a page of 4 MiB

main:
  call paging_on
  map VIRTUAL, FRAME | P | W
  call flush_tlb
  mov dword [FRAME], 0x11111111
  mov dword [OTHER_FRAME], 0x22222222
  mov dword [FRAME + 0x100], 0xc301c083       ; add eax, 1; ret
  call off
  mov dword [VIRTUAL], 0x55555555
  mov dword [VIRTUAL + 0x100], 0xc302c083     ; add eax, 2; ret
  call on

  print "data: "
  xor edi, edi
  mov ecx, 100
.data:
  cmp dword [VIRTUAL], 0x11111111
  jne .wrong
  inc edi
  call off
  cmp dword [VIRTUAL], 0x55555555
  jne .wrong
  inc edi
  call on
  loop .data
.wrong:
  mov eax, edi
  call show

  print "code: "
  mov edx, VIRTUAL + 0x100
  xor edi, edi
  mov ecx, 100
.code:
  xor eax, eax
  call edx
  cmp eax, 1
  jne .wrong_code
  inc edi
  call off
  xor eax, eax
  call edx
  mov ebx, eax
  call on
  cmp ebx, 2
  jne .wrong_code
  inc edi
  loop .code
.wrong_code:
  mov eax, edi
  call show

  print "entry written while off: "
  call off
  map VIRTUAL, OTHER_FRAME | P | W
  call on
  mov eax, [VIRTUAL]
  call show
  print "entry written, and off and on: "
  map VIRTUAL, FRAME | P | W
  call off
  call on
  mov eax, [VIRTUAL]
  call show
  print "frame written while off: "
  call off
  mov dword [FRAME], 0x33333333
  call on
  mov eax, [VIRTUAL]
  call show
  print "code written while off: "
  call off
  mov byte [FRAME + 0x102], 7
  call on
  xor eax, eax
  mov edx, VIRTUAL + 0x100
  call edx
  call show

  print "other tables: "
  mov esi, PAGE_DIR
  mov edi, OTHER_DIR
  mov ecx, 1024
  rep movsd
  mov esi, PAGE_TABLES + 0x2000
  mov edi, OTHER_TABLE
  mov ecx, 1024
  rep movsd
  mov dword [OTHER_DIR + 8], OTHER_TABLE + (P | W)
  mov dword [OTHER_TABLE], OTHER_FRAME | P | W
  call off
  mov eax, OTHER_DIR
  mov cr3, eax
  call on
  mov edi, [VIRTUAL]
  call off
  mov eax, PAGE_DIR
  mov cr3, eax
  call on
  cmp dword [VIRTUAL], 0x33333333
  jne .wrong_tables
  mov eax, edi
  call show
.wrong_tables:

  ; With CR4.PSE the entry is the 4 MiB from 0 on; without it the table at 0.
  print "large page or table: "
  mov edi, [0]
  mov dword [0], FRAME | P | W
  mov dword [PAGE_DIR + 12], P | W | LARGE
  mov dword [FRAME], 0x44444444
  call flush_tlb
  xor edx, edx
  mov ecx, 50
.large:
  mov eax, cr4
  or eax, 0x10
  mov cr4, eax
  cmp dword [LARGE_AT + 0x200000], 0    ; the stack's frame, whatever it says
  mov eax, [LARGE_AT]
  and eax, ~(ACCESSED | DIRTY)
  cmp eax, FRAME | P | W                ; linear 0
  jne .wrong_large
  inc edx
  mov eax, cr4
  and eax, ~0x10
  mov cr4, eax
  cmp dword [LARGE_AT], 0x44444444
  jne .wrong_large
  inc edx
  loop .large
.wrong_large:
  mov eax, edx
  call show
  print "large page with pse clear, again: "
  mov eax, [LARGE_AT]
  call show
  mov [0], edi

  print "ring 3 between: "
  mov dword [count], 0
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  call flush_tlb
  mov ecx, 20
.user:
  push ecx
  mov eax, user_code
  mov edx, USER_STACK
  call run_user
  call off
  inc dword [count]
  call on
  pop ecx
  loop .user
  mov eax, [count]
  call show
  ret

off:
  mov eax, cr0
  and eax, 0x7fffffff
  mov cr0, eax
  ret
on:
  mov eax, cr0
  or eax, 0x80000000
  mov cr0, eax
  ret
show:
  call print_hex
  say ""
  ret
count: dd 0

align 4096
user_code:
  mov ecx, 100
.turn:
  loop .turn
  user_exit
