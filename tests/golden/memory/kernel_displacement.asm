; A kernel address as displacement must wrap.
    mov eax, [ebx+0xc0000000]
    mov ecx, [0xc0008000]
    mov edx, [eax*4+0xc0300000]
    hlt
