; soft site: 2
    mov eax, [ebx]
    mov [ecx], eax
    mov edx, [ebx]
    hlt
