; Reads the first sector of the first disk for ever, and says so each time; 'E' for an error.
%include "guest.inc"
ERROR equ 1
DATA_REQUEST equ 8
main:
  cld
.again:
  mov edx, 0x1f6
  mov al, 0xe0
  out dx, al
  mov edx, 0x1f2
  mov al, 1
  out dx, al
  xor al, al
%rep 3
  inc edx
  out dx, al
%endrep
  mov edx, 0x1f7
%ifdef WRITES
  mov al, 0x30
%else
  mov al, 0x20
%endif
  out dx, al
  mov bl, 'E'
  in al, dx
  test al, ERROR
  jnz .say
  mov bl, '.'
  mov ecx, 256
  mov edx, 0x1f0
%ifdef WRITES
  mov esi, image
  rep outsw
  mov edx, 0x1f7
  in al, dx
  test al, ERROR
  jz .say
  mov bl, 'E'
%else
  mov edi, SPARE
  rep insw
%endif
.say:
  mov al, bl
  mov edx, 0x3f8
  out dx, al
  mov al, 10
  out dx, al
  jmp .again
