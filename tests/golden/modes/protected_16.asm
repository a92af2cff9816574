; mode: protected 16-bit
; privilege: user
bits 16
mov ax, [es:bx]
mov [cs:bx], ax
cli
mov ds, ax
push es
o32 call there
there:
jmp ax
