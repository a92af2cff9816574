; style: soft
    mov eax, [ebx]
    mov [ebp-4], al
    add word [esi+ecx*2], 3
    movsx edx, byte [0xc0001000]
    mov ah, [edi]
    bts [ebx], eax
    hlt
