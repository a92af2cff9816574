; Reads the first sector of the first disk for ever, and says so each time; 'E' for an error.
%include "guest.inc"
ERROR equ 1
BUSY equ 0x80
main:
  cld
.again:
%ifdef WRITES
  disk_command 0x30
%else
  disk_command 0x20
%endif
  mov bl, 'E'
  call ready
  test al, ERROR
  jnz .say
  mov bl, '.'
  mov ecx, 256
  mov edx, 0x1f0
%ifdef WRITES
  mov esi, image
  rep outsw
  call ready
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

ready:                            ; AL: the drive's status when it has done its work
  mov edx, 0x1f7
.wait:
  in al, dx
  test al, BUSY
  jnz .wait
  ret
