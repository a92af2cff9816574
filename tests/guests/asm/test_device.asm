; The device of the test-suites: its register as wide as it is asked, by bytes too; its memory; a line
; set by hand, edge by edge; and the exit port where the command line has put it.
; exit: 3
; options: -device pc-testdev -device isa-debug-exit,iobase=0x600,iosize=4
; serial:
;   12345678 56 1234 78 3412
;   strings 04030201
;   memory cafef00d f0
;   line 0a: 1
;   line 0a: 2
%include "guest.inc"

%macro shown 0
  call print_hex
  print " "
%endmacro

main:
  mov dx, 0xe0
  mov eax, 0x12345678
  out dx, eax
  xor eax, eax
  in eax, dx
  shown
  inc dx
  in al, dx
  call print_byte
  print " "
  inc dx
  xor eax, eax
  in ax, dx
  call print_word
  print " "
  mov dx, 0xe8                    ; the same bytes, at another port
  in al, dx
  call print_byte
  print " "
  add dx, 2
  in ax, dx
  xchg al, ah
  call print_word
  say ""
  mov esi, numbers                ; a string of bytes to the bytes' port, and what is there then
  mov ecx, 4
  mov dx, 0xe8
.next:
  outsb
  inc dx
  loop .next
  mov dx, 0xe0
  mov edi, SPARE
  insd
  print "strings "
  mov eax, [SPARE]
  call print_hex
  say ""
  mov dword [0xff001000], 0xcafef00d
  print "memory "
  mov eax, [0xff001000]
  call print_hex
  print " "
  mov al, [0xff001001]
  call print_byte
  say ""
  hook 0x2a, on_line
  mov al, 0xfb
  out 0x21, al
  mov al, 0xfb
  out 0xa1, al
  call raise
  call raise
  mov dx, 0x603                   ; any of its ports
  mov al, 3
  out dx, al
  fail "the exit port does not"

raise:
  mov dx, 0x200a
  mov al, 1
  out dx, al
  sti
  nop
  cli
  xor al, al
  out dx, al
  print "line 0a: "
  mov al, [count]
  add al, '0'
  call print_character
  say ""
  ret
on_line:
  inc byte [count]
  mov al, 0x20
  out 0xa0, al
  out 0x20, al
  ret
print_word:                       ; AX
  push ecx
  mov ecx, 4
  shl eax, 16
  jmp print_digits
numbers: db 1, 2, 3, 4
count: db 0
