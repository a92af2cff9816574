; Global pages may outlive a CR3 load although their entry has changed; INVLPG and a toggle of CR4.PGE
; drop them. Code in one, and data.
; exit: 0
; serial:
;   either after a CR3 load
;   new 00000002 data 22222222
;   new 00000001 data 11111111
;   not global 00000002
%include "guest.inc"

CODE equ VIRTUAL
DATA equ VIRTUAL + 0x1000

main:
  call paging_on
  mov dword [SPARE], 0x000001b8
  mov word [SPARE + 4], 0xc300
  mov dword [SPARE + 0x1000], 0x11111111
  mov dword [SPARE + 0x2000], 0x000002b8
  mov word [SPARE + 0x2004], 0xc300
  mov dword [SPARE + 0x3000], 0x22222222
  mov eax, cr4
  or eax, 0x80
  mov cr4, eax
  map CODE, SPARE | P | W | GLOBAL_PAGE
  map DATA, (SPARE + 0x1000) | P | W | GLOBAL_PAGE
  call CODE
  mov eax, [DATA]
  map CODE, (SPARE + 0x2000) | P | W | GLOBAL_PAGE
  map DATA, (SPARE + 0x3000) | P | W | GLOBAL_PAGE
  call flush_tlb
  ; A processor may have evicted them, so either is right on paper; what an operating system sees
  ; is that nothing else than the old or the new one comes.
  call CODE
  dec eax
  cmp eax, 1
  ja .wrong
  say "either after a CR3 load"
  mov eax, cr4
  and eax, ~0x80
  mov cr4, eax
  or eax, 0x80
  mov cr4, eax
  call show_new
  map CODE, SPARE | P | W | GLOBAL_PAGE
  map DATA, (SPARE + 0x1000) | P | W | GLOBAL_PAGE
  invlpg [CODE]
  invlpg [DATA]
  call show_new
  map CODE, (SPARE + 0x2000) | P | W
  invlpg [CODE]
  call CODE
  map CODE, SPARE | P | W
  call flush_tlb
  map CODE, (SPARE + 0x2000) | P | W
  call flush_tlb
  print "not global "
  call CODE
  call print_hex
  say ""
  ret
.wrong:
  fail "neither"

show_new:
  print "new "
  call CODE
  call print_hex
  print " data "
  mov eax, [DATA]
  call print_hex
  say ""
  ret
