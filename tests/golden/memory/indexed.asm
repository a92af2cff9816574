    mov eax, [ebx+ecx*4]
    mov [esp+edx*8+16], eax
    mov esi, [edi*2+0x100]
    hlt
