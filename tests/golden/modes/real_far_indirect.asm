; mode: real
bits 16
jmp far [bx]
