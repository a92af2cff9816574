    mov eax, cr0
    mov esp, cr3
    mov ecx, ds
    mov edx, cs
    hlt
