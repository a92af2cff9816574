; A large page with a watched page in it, remapped while parts of it are in use. INVLPG names a part that
; was never touched, and drops all of it.
[map symbols large_pages.map]
%include "guest.inc"

OTHER equ 0xc00000                ; a frame of 4 MiB beside SPARE

main:
  mov dword [SPARE + 0x5000], 1
  mov dword [OTHER + 0x5000], 2
  call make_page_tables
  mov dword [PAGE_DIR + (VIRTUAL >> 22) * 4], SPARE | P | W | LARGE
  mov eax, cr4
  or eax, 0x10                    ; PSE
  mov cr4, eax
  call enable_paging
  check_equal [VIRTUAL + 0x5000], 1, "before"
  mov dword [PAGE_DIR + (VIRTUAL >> 22) * 4], OTHER | P | W | LARGE
  invlpg [VIRTUAL + 0x9000]
  check_equal [VIRTUAL + 0x5000], 2, "after INVLPG"
  mov dword [VIRTUAL + 0x3000], 7
watched_written:
  check_equal [VIRTUAL + 0x3000], 7, "what is watched"
  finish 0
