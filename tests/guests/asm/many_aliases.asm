; A frame of 4 MiB mapped writable at 200 places by large pages, then code run on every other of its
; small pages: each becomes traced, which takes writing away at 200 places, each of which takes two
; mappings of the host's, more than a process may have. The code is there, at all places, and so is
; what is written to it then.
; exit: 0
; serial:
;   touched
;   ran
;   each place shows what was written at another
%include "guest.inc"

ALIASES equ 200
START   equ 0x40000000
TARGET  equ 0x800000              ; the 4 MiB at 8 MiB
PAGES   equ 511

main:
  call make_page_tables
  mov eax, cr4
  or eax, 0x10                    ; PSE
  mov cr4, eax
  mov edi, PAGE_DIR + (START >> 22) * 4
  mov ecx, ALIASES
  mov eax, TARGET | P | W | LARGE | DIRTY | ACCESSED
.directory:
  stosd
  loop .directory
  call enable_paging
  ; page 2n+1 jumps to page 2n+3; the last returns
  mov edi, START + 0x1000
  mov ecx, PAGES / 2
.code:
  mov byte [edi], 0xe9
  mov dword [edi + 1], 0x2000 - 5
  add edi, 0x2000
  loop .code
  mov byte [edi], 0xc3
  mov edi, START
  mov ecx, ALIASES
.touch:
  mov dword [edi], 1
  add edi, 0x400000
  loop .touch
  say "touched"
  call START + 0x1000
  say "ran"
  ; written at place n, seen at place n + 1
  mov edi, START + 0x1800
  mov ecx, ALIASES - 1
.write:
  mov [edi], ecx
  cmp [edi + 0x400000], ecx
  jne .wrong
  add edi, 0x400000
  loop .write
  say "each place shows what was written at another"
  ret
.wrong:
  fail "it shows something else"
align 4096
