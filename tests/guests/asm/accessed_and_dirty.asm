; A and D bits are set exactly: A by reads, writes and fetches, in the directory entry too; D by
; writes only, also when the page was read before and is in every cache; cleared and flushed, set
; anew. A faulting access sets neither D.
; exit: 0
; serial:
;   fresh 00000000
;   read 00000020
;   written 00000060
;   cleared, read 00000020
;   cleared, written 00000060
;   fetched 00000020
;   directory 00000020
;   large 000000e0
;   faulted 00000020
;   cmpxchg 00000060
;   rep movs 00000020 00000060
%include "guest.inc"

%define PTE(linear) PAGE_TABLES + ((linear) >> 12) * 4

%macro show 2
  print %1, " "
  mov eax, [PTE(%2)]
  and eax, 0xe0
  call print_hex
%endmacro

main:
  call paging_on
  mov eax, cr4
  or eax, 0x10
  mov cr4, eax
  map VIRTUAL, SPARE | P | W
  map VIRTUAL + 0x1000, SPARE + 0x1000 | P | W
  map VIRTUAL + 0x2000, SPARE + 0x2000 | P
  map VIRTUAL + 0x3000, SPARE + 0x3000 | P | W
  map VIRTUAL + 0x4000, SPARE + 0x4000 | P | W
  map VIRTUAL + 0x5000, SPARE + 0x5000 | P | W
  show "fresh", VIRTUAL
  say ""
  mov eax, [VIRTUAL]
  show "read", VIRTUAL
  say ""
  mov [VIRTUAL], eax
  show "written", VIRTUAL
  say ""
  and dword [PTE(VIRTUAL)], ~0x60
  invlpg [VIRTUAL]
  mov eax, [VIRTUAL]
  show "cleared, read", VIRTUAL
  say ""
  and dword [PTE(VIRTUAL)], ~0x60
  call flush_tlb
  mov [VIRTUAL + 8], eax
  show "cleared, written", VIRTUAL
  say ""
  mov byte [SPARE + 0x1000], 0xc3
  mov eax, VIRTUAL + 0x1000
  call eax
  show "fetched", VIRTUAL + 0x1000
  say ""
  and dword [PAGE_DIR + (VIRTUAL >> 22) * 4], ~0x20
  call flush_tlb
  mov al, [VIRTUAL + 0x1000]
  print "directory "
  mov eax, [PAGE_DIR + (VIRTUAL >> 22) * 4]
  and eax, 0x20
  call print_hex
  say ""
  mov dword [PAGE_DIR + 0x20], SPARE | P | W | LARGE
  mov [0x2000000], eax
  print "large "
  mov eax, [PAGE_DIR + 0x20]
  and eax, 0xe0
  call print_hex
  say ""
  try .faulted
  mov al, [VIRTUAL + 0x2000]
  mov [VIRTUAL + 0x2000], al
  fail "no fault"
.faulted:
  show "faulted", VIRTUAL + 0x2000
  say ""
  mov eax, 1                      ; does not match: the processor writes all the same
  mov dword [SPARE + 0x3000], 2
  mov ecx, 3
  cmpxchg [VIRTUAL + 0x3000], ecx
  show "cmpxchg", VIRTUAL + 0x3000
  say ""
  mov esi, VIRTUAL + 0x4000
  mov edi, VIRTUAL + 0x5000
  mov ecx, 100
  rep movsd
  show "rep movs", VIRTUAL + 0x4000
  show "", VIRTUAL + 0x5000
  say ""
  ret
