again:
    dec ecx
    jnz again
    jmp again
