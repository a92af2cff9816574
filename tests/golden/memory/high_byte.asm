; AH beside the REX prefix of the window: exchanged with AL around the instruction.
    mov ah, [eax]
    mov [ebx+4], bh
    cmp ch, [edx]
    hlt
