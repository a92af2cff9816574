    call near $+0x100
    call eax
    call [ebx+8]
    ret
    ret 12
