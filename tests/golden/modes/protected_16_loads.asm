; mode: protected 16-bit
bits 16
mov es, [bx]
pop ds
pop es
les bx, [bx + 4]
call 0x40:0x1234
