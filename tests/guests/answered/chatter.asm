; Writes to the serial port for ever, without a look at the transmitter.
%include "guest.inc"
main:
  mov edx, 0x3f8
.line:
  mov ecx, 79
.character:
  mov al, 'x'
  out dx, al
  loop .character
  mov al, 10
  out dx, al
  jmp .line
