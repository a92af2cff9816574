; style: soft
    pop dword [ebp-8]
    hlt
