; CLI twice: at CPL 0, where it is legal, and at CPL 3, where it is the guest's own #GP. The handler
; ends the run with 3, the CPL in the selector it was called from.
%include "guest.inc"
start:
  mov esp, 0x200000
  lgdt [gdt_register]
  jmp 0x08:reloaded
reloaded:
  mov ax, 0x10
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov ax, 0x28
  ltr ax
  mov eax, handler
  mov [idt + 13 * 8], ax
  shr eax, 16
  mov [idt + 13 * 8 + 6], ax
  lidt [idt_register]
  cli                             ; legal
  push 0x23
  push 0x1f0000
  push 2
  push 0x1b
  push user
  iretd
user:
  cli                             ; not legal
  jmp user
handler:
  mov eax, [esp + 8]              ; CS, after the error code and EIP
  and eax, 3
  out 0xf4, al
  hlt

align 8
gdt:
  dq 0
  dq 0x00cf9b000000ffff
  dq 0x00cf93000000ffff
  dq 0x00cffb000000ffff
  dq 0x00cff3000000ffff
tss_descriptor:
  dw 103, tss - image
  db 0x10, 0x89, 0, 0             ; the image lies at 1 MiB
gdt_register:
  dw gdt_register - gdt - 1
  dd gdt
align 8
idt:
  times 13 dq 0
  dw 0, 0x08, 0x8e00, 0
idt_register:
  dw idt_register - idt - 1
  dd idt
align 4
tss:
  dd 0, 0x1e0000, 0x10
  times 23 dd 0
