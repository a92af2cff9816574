    mov eax, [0x8000]
    mov [0xc0008000], al
    mov ax, [0x8002]
    hlt
