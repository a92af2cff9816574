; Register forms come out as themselves; ESP is R15.
    add eax, ebx
    mov ebp, esp
    sub esp, 0x20
    xchg eax, esp
    imul ecx, esp, 12
    movzx edx, al
    bswap esp
    bt eax, 3
    cmovz esp, ecx
    hlt
