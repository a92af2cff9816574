; mode: real
bits 16
add ax, [0x6000]
mov [bx + si + 2], al
mov eax, [bp - 2]
mov [es:di], cx
mov edx, [ebx + 4]
mov bx, [cs:0x1234]
xor ax, cx
inc si
lea eax, [bx + di]
lea dx, [bp + 4]
mov es, ax
mov [0x10], ds
next:
dec cx
jnz next
