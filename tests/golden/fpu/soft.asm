; style: soft
    fld qword [ebx]
    fld tword [ebx]
    movups [ecx], xmm2
    fnstsw ax
    hlt
