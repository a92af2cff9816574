    push eax
    push esp
    push byte -1
    push dword 0x12345678
    push dword [ebx+4]
    push dword [esp+ecx*4]
    pop edi
    pop esp
    leave
    hlt
