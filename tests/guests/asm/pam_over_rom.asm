; A boot sector. All shadow RAM is turned on, the display's ROM is put at 0xc0000 under it, and the
; shadow RAM is turned off again, in both orders: who answers depends on where things are. What is
; there then is the BIOS's, never the ROM's; the frame buffer over RAM and over the BIOS at 4 GiB
; changes nothing either.
; exit: 0
; boot: floppy
; skip: refuse-every=3: a BIOS moves itself through memory, and takes minutes of faults for it
; serial:
;   bios bios ram
bits 16
org 0x7c00
  cli
  xor ax, ax
  mov ds, ax
  mov ss, ax
  mov sp, 0x7c00
%macro config_dword 2             ; address, value
  mov dx, 0xcf8
  mov eax, %1
  out dx, eax
  mov dx, 0xcfc
  mov eax, %2
  out dx, eax
%endmacro
%macro config_byte 3              ; address, lane, value
  mov dx, 0xcf8
  mov eax, %1
  out dx, eax
  mov dx, 0xcfc + %2
  mov al, %3
  out dx, al
%endmacro
  config_byte 0x80000058, 2, 0x33
  config_byte 0x80000058, 3, 0x33
  config_byte 0x80001004, 0, 0x07 ; the display decodes
  config_dword 0x80001030, 0xc0001
  config_byte 0x80000058, 2, 0x00
  call show
  config_dword 0x80001030, 0xd0000
  config_byte 0x80000058, 2, 0x33
  config_byte 0x80000058, 2, 0x00
  config_dword 0x80001030, 0xc0001
  call show
  mov dword [0x7e00], 0x12345678
  config_dword 0x80001010, 0x00000000
  config_dword 0x80001010, 0xff000000
  config_dword 0x80001010, 0x01000000
  mov si, ram
  cmp dword [0x7e00], 0x12345678
  jne .end
  call print
.end:
  mov al, 10
  out 0xe9, al
  xor al, al
  out 0xf4, al
.hang:
  jmp .hang

; 0xc0000 reads all ones where no image is, 0xaa55 where the ROM is.
show:
  mov ax, 0xc000
  mov es, ax
  mov si, bios
  cmp word [es:0], 0xffff
  je print
  mov si, rom
print:
  lodsb
  test al, al
  jz .done
  out 0xe9, al
  jmp print
.done:
  ret
bios: db "bios ", 0
rom: db "rom ", 0
ram: db "ram", 0
times 510 - ($ - $$) db 0
dw 0xaa55
