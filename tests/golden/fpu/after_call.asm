    fld1
    fadd st0, st0
    call near $+0x100
    fadd st0, st0
    ret
