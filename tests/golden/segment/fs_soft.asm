; style: soft
    mov eax, [fs:0x14]
    hlt
