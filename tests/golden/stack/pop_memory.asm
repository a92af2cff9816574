    pop dword [ebx]
