; An instruction that crosses into a second page, changed on its second page only; then that page
; mapped elsewhere.
; exit: 0
; serial:
;   44332211
;   44332299
;   44337799
;   ddccbb99
%include "guest.inc"

CODE equ VIRTUAL + 0x1000 - 2     ; b8 11 | 22 33 44 c3

main:
  call paging_on
  map VIRTUAL, SPARE | P | W
  map VIRTUAL + 0x1000, SPARE + 0x3000 | P | W
  mov word [CODE], 0x11b8
  mov dword [CODE + 2], 0xc3443322
  call show
  mov byte [CODE + 1], 0x99
  call show
  mov byte [CODE + 2], 0x77
  call show
  mov dword [SPARE + 0x5000], 0xc3ddccbb
  map VIRTUAL + 0x1000, SPARE + 0x5000 | P | W
  invlpg [VIRTUAL + 0x1000]
show:
  mov ecx, CODE
  call ecx
  call print_hex
  say ""
  ret
