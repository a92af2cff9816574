; style: soft
    push eax
    push dword [ebx+4]
    pop edi
    leave
    hlt
