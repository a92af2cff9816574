; style: soft
; privilege: user
    call thunk
    jmp ahead
thunk:
    mov eax, [esp]
    ret
ahead:
    ret
