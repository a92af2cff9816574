; privilege: user
; odd return: 6
    call near $+0x100
    call eax
    call [ebx+8]
    ret
