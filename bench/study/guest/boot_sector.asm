; Starts a flat Multiboot image from a floppy, for machines that have a BIOS and no -kernel option:
; the sectors after this one are read to 64 KiB, copied to 1 MiB and entered as Multiboot says.
; -D IMAGE_SECTORS=n: how many. The image's header is its first bytes, with the entry point in it.
org 0x7c00
bits 16

BUFFER equ 0x10000
LOAD_ADDRESS equ 0x100000
HEADER_ENTRY equ 28
SECTORS_A_TRACK equ 18
HEADS equ 2

  jmp 0:start
start:
  cli
  xor ax, ax
  mov ds, ax
  mov ss, ax
  mov sp, 0x7c00
  sti
  mov [drive], dl
  mov ax, BUFFER >> 4
  mov es, ax
next_sector:                      ; one at a time: no track is crossed
  mov ax, [sector]
  xor dx, dx
  mov cx, SECTORS_A_TRACK
  div cx
  mov cl, dl
  inc cl                          ; sector, from 1
  xor dx, dx
  mov bx, HEADS
  div bx
  mov ch, al                      ; cylinder
  mov dh, dl                      ; head
  mov dl, [drive]
  xor bx, bx
  mov ax, 0x0201
  int 0x13
  jc failed
  mov ax, es
  add ax, 512 >> 4
  mov es, ax
  inc word [sector]
  cmp word [sector], IMAGE_SECTORS
  jbe next_sector

  cli
  in al, 0x92                     ; A20
  or al, 2
  and al, 0xfe
  out 0x92, al
  lgdt [gdt_pointer]
  mov eax, cr0
  or al, 1
  mov cr0, eax
  jmp 8:protected

failed:
  mov al, 'E'
  out 0xe9, al
  hlt
  jmp failed

bits 32
protected:
  mov eax, 16
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov esi, BUFFER
  mov edi, LOAD_ADDRESS
  mov ecx, IMAGE_SECTORS * 512 / 4
  cld
  rep movsd
  mov eax, 0x2badb002
  xor ebx, ebx
  jmp [LOAD_ADDRESS + HEADER_ENTRY]

align 8
gdt:
  dq 0
  dq 0x00cf9b000000ffff
  dq 0x00cf93000000ffff
gdt_pointer:
  dw 23
  dd gdt
drive: db 0
sector: dw 1
  times 510 - ($ - $$) db 0
  dw 0xaa55
