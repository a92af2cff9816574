; A teaching kernel as small as it can be: says that it runs on the serial port, the debug console and
; the text screen, then ends by the debug exit port with 0x21, which is exit code 67.
%include "guest.inc"
main:
  say "booted"
  mov esi, text
  mov edi, 0xb8000
.next:
  lodsb
  test al, al
  jz .done
  out 0xe9, al
  mov ah, 7
  stosw
  jmp .next
.done:
  mov al, 10
  out 0xe9, al
  finish 0x21
text: db "on screen", 0
