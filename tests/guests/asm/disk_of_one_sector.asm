; A disk of this one sector: the BIOS boots it, knows a geometry without zeros, reads the sector by
; cylinder, head and sector, and by number, and refuses the sector behind it.
; exit: 0
; boot: disk
; skip: refuse-every=3: a BIOS moves itself through memory, and takes minutes of faults for it
; serial:
;   geometry yes, by place 55aa, by number 55aa, behind no
bits 16
org 0x7c00
  cli
  xor ax, ax
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov sp, 0x7c00
  sti
  mov ah, 8
  mov dl, 0x80
  xor di, di
  int 0x13
  jc .no_geometry
  test cl, 0x3f                   ; sectors of a track
  jz .no_geometry
  test dl, dl                     ; drives
  jz .no_geometry
  mov si, yes
  jmp .said
.no_geometry:
  mov si, no
.said:
  mov bx, geometry
  call say
  mov word [0x8000 + 510], 0
  mov ax, 0x0201
  mov bx, 0x8000
  mov cx, 1
  mov dx, 0x80
  int 0x13
  mov bx, place
  call signature
  mov word [0x8000 + 510], 0
  mov word [packet + 8], 0
  mov ah, 0x42
  mov dl, 0x80
  mov si, packet
  int 0x13
  mov bx, number
  call signature
  mov word [packet + 8], 1
  mov ah, 0x42
  mov dl, 0x80
  mov si, packet
  int 0x13
  mov si, yes
  jnc .read
  mov si, no
.read:
  mov bx, behind
  call say
  mov al, 10
  out 0xe9, al
  xor al, al
  out 0xf4, al
.hang:
  jmp .hang

signature:
  mov si, good
  jc .bad
  cmp word [0x8000 + 510], 0xaa55
  je say
.bad:
  mov si, no
say:                              ; BX, then SI
  push si
  mov si, bx
  call print
  pop si
print:
  lodsb
  test al, al
  jz .done
  out 0xe9, al
  jmp print
.done:
  ret
geometry: db "geometry ", 0
place: db ", by place ", 0
number: db ", by number ", 0
behind: db ", behind ", 0
yes: db "yes", 0
no: db "no", 0
good: db "55aa", 0
align 4
packet: db 16, 0
  dw 1, 0x8000, 0
  dd 0, 0
times 510 - ($ - $$) db 0
dw 0xaa55
