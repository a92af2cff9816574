; Three lines on the serial port, each ended by LF alone; then one on the text screen, and the end.
%include "guest.inc"
main:
  say "one"
  say "two"
  say "three"
  mov edi, 0xb8000 + 2 * 80
  mov esi, text
.next:
  lodsb
  test al, al
  jz .done
  mov ah, 7
  stosw
  jmp .next
.done:
  finish 0
text: db "written to the screen", 0
