; Prints a hundred lines and ends.
%include "guest.inc"
main:
  mov ebx, 100
.line:
  mov ecx, 79
  mov edx, 0x3f8
.character:
  mov al, 'x'
  out dx, al
  loop .character
  mov al, 10
  out dx, al
  dec ebx
  jnz .line
  mov al, 21
  jmp exit_with
