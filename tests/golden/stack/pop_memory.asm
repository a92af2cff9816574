    pop dword [ebx]
    pop dword [ebp-8]
    pop dword [fs:0x40]
    pop dword [esp+4]
    hlt
