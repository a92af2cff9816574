; The page of code that has run is mapped to another frame: after INVLPG, a CR3 load, or a toggle
; of CR0.PG the new code runs. Reached by indirect call, direct call and a link that was made.
; exit: 0
; serial:
;   00000001 00000001
;   00000002 00000002
;   00000001 00000001
;   00000002 00000002
;   loop 00000064
%include "guest.inc"

CODE equ VIRTUAL

main:
  call paging_on
  mov dword [SPARE], 0x000001b8   ; mov eax, 1; ret
  mov word [SPARE + 4], 0xc300
  mov dword [SPARE + 0x1000], 0x000002b8
  mov word [SPARE + 0x1004], 0xc300
  map CODE, SPARE | P | W
  call show
  map CODE, SPARE + 0x1000 | P | W
  invlpg [CODE]
  call show
  map CODE, SPARE | P | W
  call flush_tlb
  call show
  map CODE, SPARE + 0x1000 | P | W
  mov eax, cr0
  mov edx, eax
  and eax, 0x7fffffff
  mov cr0, eax
  mov cr0, edx
  call show
  mov ecx, 50                     ; the same call instruction, linked each time
  xor ebx, ebx
.next:
  mov dword [PAGE_TABLES + (CODE >> 12) * 4], SPARE | P | W
  invlpg [CODE]
  call direct
  add ebx, eax
  mov dword [PAGE_TABLES + (CODE >> 12) * 4], SPARE + 0x1000 | P | W
  invlpg [CODE]
  call direct
  add ebx, eax
  loop .next
  sub ebx, 50
  print "loop "
  mov eax, ebx
  call print_hex
  say ""
  ret

direct:
  call addr_of_code
  ret
addr_of_code equ CODE

show:
  mov ecx, CODE
  call ecx
  call print_hex
  print " "
  call direct
  call print_hex
  say ""
  ret
