; IN and OUT of each width from one place each, with the port in DX or not: only the register's part
; changes, and an interrupt that an OUT lets through comes at once.
; exit: 0
; serial:
;   widths: right
;   ports in turn: right
;   unmasked: right
%include "guest.inc"

SCRATCH equ 0x3ff                 ; of the UART
ROUNDS equ 200

main:
  mov ebp, ROUNDS
.widths:
  mov eax, 0x12345678
  in al, 0xe0
  check_equal eax, 0x123456ff, "AL"
  mov eax, 0x12345678
  in ax, 0xe0
  check_equal eax, 0x1234ffff, "AX"
  in eax, 0xe0
  check_equal eax, 0xffffffff, "EAX"
  mov edx, 0xabcd0000 + SCRATCH    ; the upper half counts for nothing
  mov eax, ebp
  mov ah, 0x55
  out dx, al
  xor eax, eax
  in al, dx
  mov ecx, ebp
  movzx ecx, cl
  check_equal eax, ecx, "scratch register"
  dec ebp
  jnz .widths
  say "widths: right"

  mov ebp, ROUNDS
.ports:
  mov edx, SCRATCH
  mov eax, 0x77665544
  call through_dx
  mov edx, 0x21
  mov eax, 0xaabbccfe
  call through_dx
  mov eax, 0xff
  call through_dx
  dec ebp
  jnz .ports
  say "ports in turn: right"

  mov dword [waiting], 20
  mov ecx, 5000
  call start_timer
.next:
  mov al, 0xff
  out 0x21, al
  sti
.wait:                            ; until the PIC has one for us
  mov al, 0x0a
  out 0x20, al
  in al, 0x20
  test al, 1
  jz .wait
  mov ebx, [ticks]
  mov al, 0xfe
  out 0x21, al
  nop
  sub ebx, [ticks]
  cli
  neg ebx
  cmp ebx, 1
  jb .late
  dec dword [waiting]
  jnz .next
  mov al, 0xff
  out 0x21, al
  say "unmasked: right"
  ret
.late:
  fail "the interrupt has not come"

through_dx:
  mov ecx, eax
  out dx, al
  xor eax, eax
  dec eax
  in al, dx
  or ecx, 0xffffff00
  check_equal eax, ecx, "what was written"
  ret

align 4
waiting: dd 0
