    jmp eax
    jmp [0xc0008000+eax*4]
    jmp esp
