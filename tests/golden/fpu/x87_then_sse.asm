    fld dword [ebx]
    fadd st0, st1
    fstp qword [esp]
    movaps xmm0, [ecx]
    addps xmm0, xmm1
    movd esp, xmm0
    hlt
