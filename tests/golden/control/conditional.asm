    cmp eax, ebx
    jz near $+0x100
