    mov eax, [fs:0]
    mov [gs:ebx+8], ecx
    push dword [gs:0x14]
    mov edx, [es:esi]
    mov edx, [cs:esi]
