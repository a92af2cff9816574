; For the shadow page tables: PAE. The first 2 MiB are a large page, the next have a table. A page of
; each is read and then written, so that both A and D come by; then the run ends with 6.
%include "guest.inc"
pointers  equ 0x180000
directory equ 0x181000
table     equ 0x182000
start:
  mov esp, 0x17f000
  mov edi, pointers
  mov ecx, 3 * 1024
  xor eax, eax
  rep stosd
  mov dword [pointers], directory + 1
  mov dword [directory], 0x83             ; 2 MiB: present, writable, large
  mov dword [directory + 8], table + 3
  mov dword [table + 0x40 * 8], 0x240003  ; the page at 0x240000, the same address
  mov eax, cr4
  or eax, 0x20
  mov cr4, eax
  mov eax, pointers
  mov cr3, eax
  mov eax, cr0
  or eax, 0x80010000
  mov cr0, eax
  mov eax, [0x240000]
  mov [0x240000], eax
  mov eax, [0x1a0000]
  mov [0x1a0000], eax
  mov al, 6
  out 0xf4, al
  hlt
