// Where the loader, events and interrupts come in.
  .section .multiboot, "a"
  .balign 4
  .long 0x1badb002, 2, -(0x1badb002 + 2)

  .text
  .global start
start:
  cli
  cld
  mov $stack_end, %esp
  push %ebx
  call kernel_begin

  // load_tables(gdt, idt): both are six bytes.
  .global load_tables
load_tables:
  mov 4(%esp), %eax
  lgdt (%eax)
  mov 8(%esp), %eax
  lidt (%eax)
  ljmp $0x08, $1f
1:
  mov $0x10, %eax
  mov %eax, %ss
  mov $0x2b, %eax
  mov %eax, %ds
  mov %eax, %es
  xor %eax, %eax
  mov %eax, %fs
  mov %eax, %gs
  mov $0x30, %eax
  ltr %ax
  ret

  .global turn_paging_on
turn_paging_on:
  mov 4(%esp), %eax
  mov %eax, %cr3
  mov %cr0, %eax
  or $0x80010000, %eax
  mov %eax, %cr0
  ret

  .global fault_address
fault_address:
  mov %cr2, %eax
  ret

  // A stub for each vector: 16 bytes. These push an error code: 8, 10 to 14, 17.
  .balign 16
  .global event_stubs
event_stubs:
  vector = 0
  .rept 256
  .balign 16
  .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17)
  .else
  push $0
  .endif
  push $vector
  jmp event
  vector = vector + 1
  .endr

event:
#ifdef PARAVIRTUAL
  // PUSH of a segment register stores the processor's, whoever pretends to be it. User programs of
  // this kernel have these, always.
  push $0x2b
  push $0x2b
  push $0
  push $0
  pusha
#else
  push %ds
  push %es
  push %fs
  push %gs
  pusha
  mov $0x2b, %eax
  mov %eax, %ds
  mov %eax, %es
#endif
  cld
  push %esp
  call handle_event
  add $4, %esp
  // Only an interrupt of the kernel itself comes back here.
#ifdef PARAVIRTUAL
  mov %esp, %edx
  xor %ebx, %ebx
  mov $1, %eax
  call code_page
  ud2
#else
  .global pop_frame
pop_frame:
  popa
  pop %gs
  pop %fs
  pop %es
  pop %ds
  add $8, %esp
  iret

  // return_to_user(frame): an interrupt from here on would push below the frame.
  .global return_to_user
return_to_user:
  cli
  mov 4(%esp), %esp
  jmp pop_frame
#endif

  .section .rodata
  .balign 4096
  .global user_image
user_image:
  .incbin "user.bin"
  .balign 4096
  .global user_image_end
user_image_end:

  .bss
  .balign 4096
#ifdef PARAVIRTUAL
  .global code_page, shared_page
code_page:
  .skip 4096
shared_page:
  .skip 4096
#endif
  .skip 16384
  .global stack_end
stack_end:
