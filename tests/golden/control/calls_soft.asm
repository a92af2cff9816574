; style: soft
    call near $+0x100
    call [ebx+8]
    ret
