; No REX, no trouble; beside ESP it is.
    mov ah, bl
    add ch, dh
    movzx eax, bh
    movzx esp, ah
    hlt
