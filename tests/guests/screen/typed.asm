; Shows what is typed on the screen, white on blue from its top left, and says on the serial port
; what keyboard and mouse send: "k1e", "m08". The key F1 halves the screen's height, F2 gives it back,
; F3 paints the whole screen over and over until the next key, F4 ends the guest, F5 resets the machine.
%include "guest.inc"
F1 equ 0x3b
SCREEN equ 0xb8000
BLUE equ 0x17

main:
  mov al, 0xa8                    ; the mouse's port is on, and the mouse reports
  out 0x64, al
  mov al, 0xd4
  out 0x64, al
  mov al, 0xf4
  out 0x60, al
.acknowledged:
  in al, 0x64
  test al, 1
  jz .acknowledged
  in al, 0x60
  mov edx, 0x3d4
  mov ax, 0x200a                  ; no cursor
  out dx, ax
  mov edi, SCREEN
  mov ecx, 2000
  mov eax, BLUE << 8 | ' '
  rep stosw
  mov ebx, SCREEN
  say "ready"
next:
  mov edx, 0x3fd                  ; what comes by the serial port is said as "s41"
  in al, dx
  test al, 1
  jnz from_serial
  in al, 0x64
  test al, 1
  jnz .something
  cmp dword [painting], 0
  je next
  inc byte [painting + 1]         ; another colour each time
  mov edi, SCREEN
  mov ecx, 2000
  mov ah, [painting + 1]
  mov al, '#'
  rep stosw
  jmp next
.something:
  test al, 0x20
  jnz from_mouse
  in al, 0x60
  push eax
  print "k"
  mov al, [esp]
  call print_byte
  say ""
  pop eax
  movzx eax, al
  test al, 0x80                   ; let go
  jnz next
  mov dword [painting], 0
  cmp al, F1
  je smaller
  cmp al, F1 + 1
  je larger
  cmp al, F1 + 2
  je paint
  cmp al, F1 + 3
  je over
  cmp al, F1 + 4
  je reset
  cmp al, characters_end - characters
  jae next
  mov al, [characters + eax]
  test al, al
  jz next
  mov ah, BLUE
  mov [ebx], ax
  add ebx, 2
  jmp next
from_serial:
  mov edx, 0x3f8
  in al, dx
  push eax
  print "s"
  mov al, [esp]
  call print_byte
  say ""
  pop eax
  jmp next
from_mouse:
  in al, 0x60
  push eax
  print "m"
  mov al, [esp]
  call print_byte
  say ""
  pop eax
  jmp next
smaller:
  mov ax, 0xbf12                  ; 192 lines: the end of the display, and its bit 8
  mov cx, 0x1d07
  jmp set_height
larger:
  mov ax, 0x8f12
  mov cx, 0x1f07
set_height:
  mov edx, 0x3d4
  out dx, ax
  mov ax, cx
  out dx, ax
  jmp next
paint:
  mov dword [painting], 1
  jmp next
over:
  mov al, 0
  jmp exit_with
reset:
  mov al, 0xfe
  out 0x64, al
  hlt

painting: dd 0
; Of scan code set 1.
characters:
  db 0, 0, "1234567890-=", 0, 0, "qwertyuiop[]", 0, 0, "asdfghjkl;'`", 0, "\zxcvbnm,./", 0, 0, 0, " "
characters_end:
