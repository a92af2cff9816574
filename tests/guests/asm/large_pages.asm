; 4 MiB pages: code and data in them, a large page replaced by another and by a table of small ones
; and back, INVLPG of any address in it; with CR4.PSE off the bit is ignored.
; exit: 0
; serial:
;   00000001
;   00000002
;   00000003
;   00000002
;   data 00abcdef
;   fault 0e error 00000003
%include "guest.inc"

PDE equ PAGE_DIR + (VIRTUAL >> 22) * 4
CODE equ VIRTUAL + 0x12340

main:
  call paging_on
  mov eax, cr4
  or eax, 0x10
  mov cr4, eax
  ; frames: 4 MiB (SPARE) and 12 MiB, and a small one
  mov dword [PDE], 0xc00000 | P | W | LARGE
  mov dword [CODE], 0x000002b8
  mov word [CODE + 4], 0xc300
  mov dword [PDE], SPARE | P | W | LARGE
  invlpg [VIRTUAL + 0x3ff000]
  mov dword [CODE], 0x000001b8
  mov word [CODE + 4], 0xc300
  call show
  mov dword [PDE], 0xc00000 | P | W | LARGE
  invlpg [VIRTUAL + 0x200000]
  call show
  mov dword [SPARE + 0x20340], 0x000003b8
  mov word [SPARE + 0x20344], 0xc300
  map CODE, (SPARE + 0x20000) | P | W
  mov dword [PDE], (PAGE_TABLES + (VIRTUAL >> 22) * 0x1000) | P | W
  invlpg [VIRTUAL]
  call show
  mov dword [PDE], 0xc00000 | P | W | LARGE
  call flush_tlb
  call show
  mov dword [VIRTUAL + 0x3ffffc], 0xabcdef
  mov dword [PDE], 0xc00000 | P | LARGE
  invlpg [VIRTUAL + 0x100000]
  print "data "
  mov eax, [VIRTUAL + 0x3ffffc]
  call print_hex
  say ""
  try .read_only
  mov [VIRTUAL + 0x3ffffc], eax
  fail "no fault"
.read_only:
  call report_fault
  ret

show:
  call CODE
  call print_hex
  say ""
  ret
