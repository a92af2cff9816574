    call thunk
    add ebx, 0x1000
    test eax, eax
    jz far_away
    jmp ahead
    nop
again:
    dec ecx
    jnz again
    ret
ahead:
    mov eax, [ebx]
    jmp again
thunk:
    mov ebx, [esp]
    ret
far_away:
    ret
