; mode: real
; What real-mode programs are full of: far pointers and far calls.
bits 16
les bx, [bp + 4]
mov es, [si]
lds si, [es:di]
o32 les ebx, [bp + 4]
call 0x1234:0x10
