; The same as a boot sector, of a floppy disk, a hard disk or a CD-ROM.
bits 16
org 0x7c00
start:
  xor ax, ax
  mov ds, ax
  mov si, serial
  mov dx, 0x3f8
.next:
  lodsb
  test al, al
  jz .screen
  out dx, al
  jmp .next
.screen:
  mov si, screen
.next_on_screen:
  lodsb
  test al, al
  jz .done
  out 0xe9, al
  mov ah, 0x0e
  xor bx, bx
  int 0x10
  jmp .next_on_screen
.done:
  mov al, 0x21
  out 0xf4, al
.hang:
  cli
  hlt
  jmp .hang
serial: db "booted", 10, 0
screen: db "on screen", 13, 10, 0
times 510 - ($ - $$) db 0
dw 0xaa55
