; Effective addresses wrap at 32 bits.
    lea eax, [ebx+ecx*4-8]
    lea esp, [esp+8]
    lea ecx, [esp+esi*2]
    lea edx, [0xc0001234]
    lea si, [ebp+edi]
    hlt
