; mode: real
; style: soft
bits 16
mov ax, [bx]
add [di + 1], dl
push ax
pop word [bx]
movsw
ret
