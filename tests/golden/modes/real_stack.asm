; mode: real
bits 16
push ax
push dword 5
pop bx
push word [0x20]
pop word [bx]
push cs
pop ds
call there
leave
jmp [bx]
there:
o32 ret
pushf
popf
