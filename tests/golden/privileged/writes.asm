    mov cr0, eax
    mov cr2, ecx
    mov cr3, eax
    hlt
