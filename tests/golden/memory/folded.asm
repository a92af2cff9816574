; Base and small displacement fold into one host operand.
    mov eax, [ebx]
    mov [ebp-4], eax
    add dword [esp+8], 1
    mov ecx, [0x8000]
    cmp byte [esi+0x1000], 0
    hlt
