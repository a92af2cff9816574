; A 4 MiB page that is RAM in parts only (the display's hole at 640 KiB is in it), of which a part
; behind the hole alone has been touched: INVLPG of any other address in it drops that part, too.
; exit: 0
; serial:
;   00000001
;   00000002
;   00000001
%include "guest.inc"

PDE  equ PAGE_DIR + (VIRTUAL >> 22) * 4
PART equ 0x380000

main:
  call paging_on
  mov eax, cr4
  or eax, 0x10                    ; PSE
  mov cr4, eax
  mov dword [PART], 1
  mov dword [SPARE + PART], 2
  mov dword [PDE], 0 | P | W | LARGE
  call show
  mov dword [PDE], SPARE | P | W | LARGE
  invlpg [VIRTUAL + 0x100000]
  call show
  mov dword [PDE], 0 | P | W | LARGE
  invlpg [VIRTUAL + 0x3ff000]
  call show
  ret

show:
  mov eax, [VIRTUAL + PART]
  call print_hex
  say ""
  ret
align 4096
