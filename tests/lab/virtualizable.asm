; For the trap engine: every sensitive instruction of this guest traps, so it must be right: control
; registers, tables, interrupts by CLI and STI, a page fault, software interrupts, ports.
%include "guest.inc"
gdt:
  dq 0
  dq 0x00cf9b000000ffff
  dq 0x00cf93000000ffff
gdt_pointer:
  dw 23
  dd gdt
idt_pointer:
  dw 0x1ff
  dd 0x110000
count: dd 0

start:
  cli
  lgdt [gdt_pointer]
  mov esp, 0x180000
  jmp 0x08:flat
flat:
  mov eax, 0x10
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov fs, eax
  mov gs, eax
  mov ecx, 14
  mov eax, page_fault
  call set_gate
  mov ecx, 0x21
  mov eax, software
  call set_gate
  mov ecx, 0x3f
  mov eax, software
  call set_gate
  lidt [idt_pointer]
  mov edi, 0x201000
  mov eax, 3
  mov ecx, 1024
fill:
  stosd
  add eax, 0x1000
  loop fill
  mov dword [0x200000], 0x201003
  mov eax, 0x200000
  mov cr3, eax
  mov eax, cr0
  or eax, 0x80010000
  mov cr0, eax
  mov ebx, 0x00402004
  mov dword [ebx], 5              ; not present: the handler adds to count and steps over it
  int 0x21
  int 0x3f
  clts
  mov eax, cr0
  mov edx, cr3
  invlpg [0x300000]
  mov esi, 0x300000
  mov ecx, 500
work:
  imul eax, eax, 1103515245
  add eax, 12345
  mov [esi], eax
  add esi, 4
  loop work
  sti
  cli
  mov eax, [count]
  out 0xf4, al
  hlt

set_gate:                         ; ECX vector, EAX handler
  mov edx, eax
  and eax, 0xffff
  or eax, 0x80000
  and edx, 0xffff0000
  or edx, 0x8e00
  mov [0x110000 + ecx * 8], eax
  mov [0x110004 + ecx * 8], edx
  ret
page_fault:
  add dword [count], 5
  add esp, 4
  add dword [esp], 6              ; mov dword [ebx], imm32
  iretd
software:
  add dword [count], 2
  iretd
